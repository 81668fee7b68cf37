/**
 * Has the AWS SDK not warn that its versions from January 2027 on need Node.js 22: README says so, and what a program prints is for
 * its operator. It holds for the whole process, so it is for our own programs, not for a plugin. To be called before an S3 client is made.
 */
export function silenceSdkWarning (): void {
  process.env['AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED'] ??= 'true'
}

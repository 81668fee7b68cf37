/**
 * Media types that a browser carries out in the origin that serves them, or applies to its pages: with a host's cookies that
 * would be the host's own code. `nosniff` keeps scripts, workers and style sheets to these very names, so any other name will do.
 */
const ACTIVE = [
  // The names of JavaScript (https://mimesniff.spec.whatwg.org/#javascript-mime-type); workers and modules need one of them, too.
  /^(?:application|text)\/(?:x-)?(?:java|ecma)script$/,
  /^text\/(?:javascript1\.[0-5]|jscript|livescript|vbscript)$/,
  // WebAssembly is compiled from a response of this type alone.
  /^application\/wasm$/,
  // Pages. Every XML type is one: elements of XHTML and SVG in it are carried out, and style sheets (XSLT) make it anything else.
  /^text\/html$/,
  /^(?:application|text)\/xml$/,
  /^[^/]+\/[^/]+\+xml$/,
  /^(?:application|text)\/(?:xsl|xslt|xml-dtd|xml-external-parsed-entity)$/,
  // A style sheet reads the page that uses it, and can tell others of it.
  /^text\/css$/,
  // Archives of pages, each part with a type of its own.
  /^(?:multipart|message)\//,
  /^application\/(?:x-)?mimearchive$/,
  // What plug-ins, old browsers and browsers' own installers run.
  /^text\/(?:x-component|x-scriptlet|cache-manifest)$/,
  /^application\/(?:hta|x-shockwave-flash|x-silverlight-app|java-archive|x-java-applet|x-java-jnlp-file|x-xpinstall|x-chrome-extension|signed-exchange|webbundle)$/,
]

/**
 * The type under which a file is served: its own, but `application/octet-stream` for what a browser would carry out. The
 * receipt keeps the true one. PDF stays: viewers carry its scripts out in a world of their own, never in the page's origin.
 */
export function servedType (type: string): string {
  const essence = type.split(';', 1)[0]!.trim().toLowerCase()
  return ACTIVE.some(pattern => pattern.test(essence)) ? 'application/octet-stream' : type
}

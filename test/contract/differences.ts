import type { Test } from 'tap'

/**
 * In what servers may differ from B2. The tests hold every server to what Backblaze documents of B2, but where one of these
 * is said of it; docs/storage-servers.md has the reasons.
 */
export const DIFFERENCES = [
  'accepts-any-acl',
  'accepts-checksums',
  'completes-again',
  'delete-fails-beside-longer-keys',
  'hides-what-is-not-there',
  'keeps-no-versions',
  'least-part-is-5-mib',
  'lists-parts-of-what-is-complete',
  'no-such-key-for-uploads',
  'no-such-key-for-versions',
  'other-buckets-are-denied',
  'pages-of-versions-end-early',
  'refuses-long-keys',
  'refuses-long-metadata',
  'unknown-key-is-bad-signature',
  'wrong-region-is-malformed',
] as const

export type Difference = typeof DIFFERENCES[number]

/** Asserts that the server answers as B2 does, or that it does not where that is said of it: so no difference outlives its reason. */
export function isAsB2 (t: Test, { differs }: { readonly differs: ReadonlySet<Difference> }, difference: Difference, found: unknown, wanted: object): void {
  if (differs.has(difference)) t.notMatch(found, wanted, `other than B2: ${difference}`)
  else t.match(found, wanted, `as B2 where others differ: ${difference}`)
}

/** What the service says of a bucket that is not there. */
export function codeOfMissingBucket ({ differs }: { readonly differs: ReadonlySet<Difference> }): string {
  return differs.has('other-buckets-are-denied') ? 'access_denied' : 'bucket_not_found'
}

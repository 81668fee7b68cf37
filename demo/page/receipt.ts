/** What of a receipt the page shows; openapi.json has all of it. */
export interface Receipt {
  storage: 'b2' | 'local' | 'split'
  location: string
  split?: { b2_bytes: number, local_bytes: number }
  fallback_reason?: { error_code: string, detail: string }
  track: {
    filename: string
    content_type: string
    size_bytes: number
    sha256: string
    audio: { title: string | null, artist: string | null, duration_seconds: number | null } | null
  }
}

export const nameOf = ({ location }: Receipt): string => location.split('/').at(-1)!

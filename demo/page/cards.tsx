import type { StoredFile } from './files.ts'
import { bytes, duration } from './format.ts'
import type { Receipt } from './receipt.ts'
import type { Sending } from './uploads.ts'

/** What is inside the card of an upload that is under way or has failed. */
export function SendingCard ({ name, size, sent, error, again, remove }: Sending) {
  const isSent = sent >= size
  return (
    <>
      <div class='card-head'>
        <h3>{name}</h3>
        <button class='quiet' type='button' onClick={remove} aria-label={`${error === undefined ? 'Cancel' : 'Dismiss'} ${name}`}>
          {error === undefined ? 'Cancel' : 'Dismiss'}
        </button>
      </div>
      {error === undefined
        ? (
          <>
            <progress aria-label={`Upload of ${name}`} max={Math.max(size, 1)} value={sent} />
            <p class='small'>{isSent ? `All ${bytes(size)} sent. Stored when B2 or the disk says so.` : `${bytes(sent)} of ${bytes(size)} sent`}</p>
          </>
          )
        : (
          <p class='small'>
            {error} <button class='quiet' type='button' onClick={again} aria-label={`Send ${name} again`}>Send again</button>
          </p>
          )}
    </>
  )
}

/** What is inside the card of a stored file. */
export function FileCard ({ name, storage, moving, first, receipt }: StoredFile) {
  const content = `/uploads/${name}/content`
  const title = receipt?.track.audio?.title ?? receipt?.track.filename ?? name
  return (
    <>
      <div class='card-head'>
        <h3>{title}</h3>
        <span class='badge'>{storage}</span>
      </div>
      <p class='where small'>{whereabouts({ storage, moving, first, receipt })}</p>
      {receipt?.split === undefined
        ? null
        : <progress class='shares' aria-label={`Share of ${title} that B2 has`} max={receipt.track.size_bytes} value={receipt.split.b2_bytes} />}
      {receipt === undefined ? null : <Track receipt={receipt} content={content} title={title} />}
      <p class='links small'>
        {storage === 'split' ? null : <a href={content} aria-label={`Content of ${title}`}>Content</a>}
        <a href={`/uploads/${name}`} aria-label={`Receipt of ${title}`}>Receipt</a>
      </p>
    </>
  )
}

function Track ({ receipt: { storage, track }, content, title }: { receipt: Receipt, content: string, title: string }) {
  const { audio, filename, size_bytes, sha256 } = track
  const facts = [
    audio?.artist,
    audio?.duration_seconds == null ? undefined : duration(audio.duration_seconds),
    bytes(size_bytes),
    title === filename ? undefined : filename,
  ]
  return (
    <>
      <p class='small'>{facts.filter(Boolean).join(' · ')}</p>
      {audio === null || storage === 'split' ? null : <audio controls preload='none' src={content} aria-label={title} />}
      <p class='sum'><code>sha256:{sha256}</code></p>
    </>
  )
}

const IN_B2 = { b2: 'Went straight to B2.', local: 'Fell back, then moved to B2.', split: 'Was split, then joined in B2.' }

function whereabouts ({ storage, moving, first, receipt }: Pick<StoredFile, 'storage' | 'moving' | 'first' | 'receipt'>): string {
  if (receipt === undefined) return 'Its receipt can’t be read at the moment.'
  if (storage === 'b2') return IN_B2[first]
  const { fallback_reason: reason, split } = receipt
  const why = reason === undefined ? '' : ` ${reason.detail}.`
  if (split !== undefined) {
    const shares = `B2 has ${bytes(split.b2_bytes)} of it, local storage the other ${bytes(split.local_bytes)}.`
    return `${shares} ${moving ? 'Being joined in B2 now.' : `Waits to be joined in B2.${why}`}`
  }
  return moving ? 'Moving to B2 now.' : `Waits to move to B2.${why}`
}

import { render } from 'preact'
import { useRef } from 'preact/hooks'
import { useAnnouncements } from './announcements.ts'
import { B2Panel } from './b2-panel.tsx'
import { FileCard, SendingCard } from './cards.tsx'
import { DropZone } from './drop-zone.tsx'
import { useFiles } from './files.ts'
import { useGlide } from './glide.ts'
import { useLive } from './live.ts'
import { useUploads } from './uploads.ts'
import './page.css'

function Page () {
  const live = useLive()
  const { sending, answered } = useUploads()
  const files = useFiles(live, answered)
  const list = useRef<HTMLUListElement>(null)
  useGlide(list)
  const news = useAnnouncements(sending, files, live)

  const stored = new Set(files.map(({ id }) => id))
  const count = (storage: string): number => files.filter(file => file.storage === storage).length
  return (
    <>
      <header>
        <p><strong>fastify-b2-uploads</strong> with an emulated B2, on your machine alone</p>
        <nav aria-label='More'><a href='/documentation/'>API</a> <a href='/ready'>State</a> <a href='/metrics'>Metrics</a></nav>
      </header>
      <main>
        {live === undefined ? <h1 class='lost'>Waiting for the demo …</h1> : <B2Panel live={live} />}
        <DropZone />
        <section class='places' aria-label='Files'>
          <h2 data-storage='b2'>In B2 <span>{count('b2')}</span></h2>
          <h2 data-storage='local'>In local storage <span>{count('local')}</span></h2>
          <ul ref={list}>
            {sending.filter(({ id }) => !stored.has(id)).map(upload => (
              <li key={upload.id} class='card' data-failed={upload.error !== undefined}><SendingCard {...upload} /></li>
            ))}
            {files.map(file => (
              <li key={file.id} class='card' data-storage={file.storage}><FileCard {...file} /></li>
            ))}
          </ul>
        </section>
      </main>
      <p class='unseen' role='status'>{news}</p>
    </>
  )
}

render(<Page />, document.getElementById('page')!)

import DragDrop from '@uppy/drag-drop'
import { useEffect, useRef, useState } from 'preact/hooks'
import { LARGE_SAMPLE_NAME, SAMPLE_NAMES } from '../sample-names.ts'
import { SLOW_LINE, setSlowLine, uploadSamples, uppy } from './uploads.ts'

/** Where files are dropped or chosen. */
export function DropZone () {
  const target = useRef<HTMLDivElement>(null)
  const [isSlow, setIsSlow] = useState(true)

  useEffect(() => {
    uppy.use(DragDrop, {
      target: target.current!,
      height: 'auto',
      note: 'Songs or anything else, several at once',
      locale: { strings: { dropHereOr: 'Drop files here, or %{browse}', browse: 'choose some' } },
    })
    setSlowLine(true)
  }, [])

  return (
    <section class='drop' aria-label='Upload'>
      <div ref={target} />
      <div class='drop-options'>
        <div class='samples'>
          <button type='button' onClick={() => { uploadSamples(SAMPLE_NAMES) }}>Take three sample tracks</button>
          <button type='button' onClick={() => { uploadSamples([LARGE_SAMPLE_NAME]) }}>Take a large one (62 MB)</button>
        </div>
        <label>
          <input
            type='checkbox' checked={isSlow} onChange={({ currentTarget: { checked } }) => {
              setIsSlow(checked)
              setSlowLine(checked)
            }}
          />
          Send at {SLOW_LINE / 1e6} MB a second, so that there is time to pull the plug
        </label>
      </div>
    </section>
  )
}

import Uppy from '@uppy/core'
import type { Body, Meta, UppyFile } from '@uppy/core'
import XHRUpload from '@uppy/xhr-upload'
import { useEffect, useState } from 'preact/hooks'
import type { SampleName } from '../sample-names.ts'
import type { Receipt } from './receipt.ts'

/** Bytes per second, if the box is ticked. */
export const SLOW_LINE = 4_000_000

/** An upload that is not stored yet. */
export interface Sending {
  /** Its correlation id. */
  id: string
  name: string
  size: number
  /** Bytes that have left the browser. */
  sent: number
  /** Why it failed. */
  error: string | undefined
  again (): void
  remove (): void
}

export interface Answered {
  id: string
  receipt: Receipt
}

interface UploadMeta extends Meta {
  slowLine?: boolean
}
type File = UppyFile<UploadMeta, Body>

export const uppy = new Uppy<UploadMeta, Body>({
  autoProceed: true,
  // Uppy's own id is that of the file, so a file could not be sent twice.
  onBeforeFileAdded: file => ({ ...file, id: crypto.randomUUID() }),
})
  .use(XHRUpload, {
    endpoint: '/uploads',
    fieldName: 'file',
    allowedMetaFields: false,
    limit: 3,
    timeout: 0, // B2 may be slow
    headers: ({ id, meta }: File) => ({ 'x-correlation-id': id, ...(meta.slowLine ? { 'x-demo-line': String(SLOW_LINE) } : {}) }),
    shouldRetry: ({ status }) => status === 0 || status >= 500,
  })

uppy.on('upload-error', (file, _error, request) => {
  uppy.setFileState(file!.id, { error: explain(request as unknown as XMLHttpRequest) })
})

export function setSlowLine (slowLine: boolean): void {
  uppy.setOptions({ meta: { slowLine } })
}

/** Fetches files of the demo itself and uploads them like any others. */
export async function uploadSamples (names: readonly SampleName[]): Promise<void> {
  for (const name of names) {
    const data = await (await fetch(`/demo/samples/${name}`)).blob()
    uppy.addFile({ name, type: data.type, data })
  }
}

/** The uploads that are not stored yet, and the answers to those that are. */
export function useUploads (): { sending: Sending[], answered: Answered[] } {
  const [sending, setSending] = useState<Sending[]>([])
  const [answered, setAnswered] = useState<Answered[]>([])

  useEffect(() => {
    uppy.on('state-update', () => setSending(uppy.getFiles().map(toSending)))
    uppy.on('upload-success', (file, { body }) => {
      setAnswered(before => [...before, { id: file!.id, receipt: body as unknown as Receipt }])
    })
    uppy.on('complete', ({ successful }) => { uppy.removeFiles((successful ?? []).map(({ id }) => id)) })
  }, [])

  return { sending, answered }
}

function toSending ({ id, name, size, progress, error }: File): Sending {
  return {
    id,
    name,
    size: size ?? 0,
    sent: progress.bytesUploaded || 0,
    error: error ?? undefined,
    again: () => { uppy.retryUpload(id).catch(() => {}) },
    remove: () => uppy.removeFile(id),
  }
}

/** The service's own words, if there are any. */
function explain ({ responseText }: XMLHttpRequest): string {
  try {
    const { error_code, detail } = JSON.parse(responseText) as { error_code: string, detail: string }
    return `${error_code}: ${detail}`
  } catch {
    return 'The service did not answer.'
  }
}

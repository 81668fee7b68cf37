// kbit/s by version (1; 2 and 2.5) and layer, and samples a second of version 1 (ISO/IEC 11172-3 §2.4.2.3, 13818-3 §2.4.2.3).
const BITRATES = [
  [[32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448], [32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384], [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320]],
  [[32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256], [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160], [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160]],
] as const
const RATES = [44_100, 48_000, 32_000]

/** Whether these bytes are frames of MPEG audio: two in a row, or one that reaches to their end or beyond. */
export function startsMpegAudio (bytes: Uint8Array): boolean {
  const first = frameLength(bytes)
  if (first === undefined) return false
  return first >= bytes.length || frameLength(bytes.subarray(first)) !== undefined
}

/** Whether there are such frames somewhere in these bytes. */
export function hasMpegAudio (bytes: Uint8Array): boolean {
  for (let at = bytes.indexOf(0xff); at !== -1; at = bytes.indexOf(0xff, at + 1)) {
    if (startsMpegAudio(bytes.subarray(at))) return true
  }
  return false
}

/** The length of the frame that begins here (ISO/IEC 11172-3 §2.4.3.1); undefined, if none does. */
function frameLength (bytes: Uint8Array): number | undefined {
  const [sync = 0, kind = 0, rates = 0] = bytes
  const layer = 4 - ((kind >> 1) & 3)
  const version = (kind >> 3) & 3 // 3: 1, 2: 2, 0: 2.5
  const bitrate = BITRATES[version === 3 ? 0 : 1]![layer - 1]?.[(rates >> 4) - 1]
  const rate = RATES[(rates >> 2) & 3]
  if (sync !== 0xff || (kind & 0xe0) !== 0xe0 || version === 1 || bitrate === undefined || rate === undefined) return undefined
  const samplesPerSecond = rate / (version === 3 ? 1 : version === 2 ? 2 : 4)
  const padding = (rates >> 1) & 1
  if (layer === 1) return (Math.floor(12_000 * bitrate / samplesPerSecond) + padding) * 4
  return Math.floor((layer === 3 && version !== 3 ? 72_000 : 144_000) * bitrate / samplesPerSecond) + padding
}

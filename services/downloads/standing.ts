// Looks rather than time are counted, so that a busy process does not take its own pause for a reader's.
const LOOKS_PER_PERIOD = 4

interface Reader {
  /** Grows while the reader takes something. */
  readonly position: () => number
  /** Called once each time that the reader has taken nothing for so many milliseconds. */
  readonly park: () => void
  readonly parkMs: number
}

interface Watched extends Reader {
  lastPosition: number
  quietLooks: number
}

interface Group {
  readonly readers: Set<Watched>
  readonly timer: NodeJS.Timeout
}

const groups = new Map<number, Group>()

/** Notices readers that stand still; one timer looks at all that have the same time. Returns what ends it. */
export function whileStanding (reader: Reader): () => void {
  const { parkMs } = reader
  const watched: Watched = { ...reader, lastPosition: reader.position(), quietLooks: 0 }
  let group = groups.get(parkMs)
  if (group === undefined) {
    const readers = new Set<Watched>()
    group = { readers, timer: setInterval(() => { for (const each of readers) look(each) }, parkMs / LOOKS_PER_PERIOD).unref() }
    groups.set(parkMs, group)
  }
  const { readers, timer } = group
  readers.add(watched)
  return () => {
    if (!readers.delete(watched) || readers.size > 0) return
    clearInterval(timer)
    groups.delete(parkMs)
  }
}

function look (reader: Watched): void {
  const position = reader.position()
  reader.quietLooks = position === reader.lastPosition ? reader.quietLooks + 1 : 0
  reader.lastPosition = position
  if (reader.quietLooks === LOOKS_PER_PERIOD) reader.park()
}

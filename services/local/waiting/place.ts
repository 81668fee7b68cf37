/** A file's place in the order of all: by its name, which begins with the time, then by where it lies. */
export interface Place {
  readonly name: string
  /** What comes before the name in its key. */
  readonly prefix: string
}

export function comesBefore (a: Place, b: Place): boolean {
  return a.name < b.name || (a.name === b.name && a.prefix < b.prefix)
}

export function inOrder (a: Place, b: Place): number {
  return comesBefore(a, b) ? -1 : 1
}

/** So many that a batch cut by them is rarely twice as long as it should be. */
const SAMPLES = 2_000

/** Some of all places, each as likely as any other: where to cut what is too long to be remembered. */
export class Sample {
  readonly #places: Place[] = []
  #seen = 0

  add (name: string, prefix: string): void {
    this.#seen++
    const index = this.#places.length < SAMPLES ? this.#places.length : Math.floor(Math.random() * this.#seen)
    if (index < SAMPLES) this.#places[index] = { name, prefix }
  }

  /** Places at which to cut, in order, so that about `count` lie between two of them. */
  cuts (count: number): Place[] {
    const step = Math.max(1, Math.floor(count * this.#places.length / Math.max(1, this.#seen)))
    return this.#places.toSorted(inOrder).filter((_, index) => index % step === step - 1)
  }
}

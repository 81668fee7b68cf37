import type { Answer, TestService } from './service.ts'

/** Samples of Prometheus' text format, by name with labels as it is written there. */
export type Samples = Map<string, number>

export function samplesOf (text: string): Samples {
  const samples: Samples = new Map()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const end = line.lastIndexOf(' ')
    samples.set(line.slice(0, end), Number(line.slice(end + 1).replace('Inf', 'Infinity')))
  }
  return samples
}

/** Asks for the metrics. */
export async function scrape ({ url }: Pick<TestService, 'url'>, headers: Record<string, string> = {}): Promise<Pick<Answer, 'status' | 'headers'> & { text: string, samples: Samples }> {
  const response = await fetch(`${url}/metrics`, { headers })
  const text = await response.text()
  return { status: response.status, headers: response.headers, text, samples: samplesOf(text) }
}

/** Those of `names` that are not 0, so that a comparison says that all others are. */
export function countsOf (samples: Samples, ...names: string[]): Record<string, number> {
  return Object.fromEntries([...samples].filter(([sample, value]) => value !== 0 && names.some(name => sample.startsWith(`${name}{`))))
}

import { scrape } from '../service/metrics.ts'
import type { TestService } from '../service/service.ts'

/** The metrics of these names, as numbers. */
export async function samplesOfNames (service: Pick<TestService, 'url'>, ...names: string[]): Promise<Record<string, number | undefined>> {
  const { samples } = await scrape(service)
  return Object.fromEntries(names.map(name => [name, samples.get(name)]))
}

import type { TSchema } from '@sinclair/typebox'
import { isProduction, missingB2 } from './config.ts'
import { ConfigSchema } from './schema.ts'
import type { Config, Variable } from './schema.ts'

/** The options that have options of their own; '' is for those that have none. */
export type Group = '' | 'b2' | 'local' | 'downloads' | 'resumable'

type Path<Name extends Variable> = typeof ConfigSchema.properties[Name] extends { option: infer Option extends string } ? Option : never
type Top<Option> = Option extends `${string}.${string}` ? never : Option
type Below<Of extends Group, Option> = Option extends `${Of}.${infer Own}` ? Own : never

/** Options that are variables as well, complete. */
export type Settings<Of extends Group> = { [Name in Variable as Of extends '' ? Top<Path<Name>> : Below<Of, Path<Name>>]: Required<Config>[Name] }

const settings = Object.entries<TSchema>(ConfigSchema.properties).flatMap(([variable, schema]) => {
  const [option, group = ''] = (schema['option'] as string | undefined)?.split('.').reverse() ?? []
  return option === undefined ? [] : { group, option, variable, schema }
})

/** The schemas of a group's options. */
export function schemasOf (of: Group): [option: string, schema: TSchema][] {
  return settings.filter(({ group }) => group === of).map(({ option, schema }) => [option, schema])
}

/** Options with the defaults of those that are not said. */
export function withDefaults<Of extends Group, Options extends object> (of: Of, options: Options): Options & Settings<Of> {
  const said = Object.entries(options).filter(([, value]) => value !== undefined)
  return Object.fromEntries([...schemasOf(of).map(([option, schema]) => [option, schema.default]), ...said]) as Options & Settings<Of>
}

// Parts under way at once must fit the budget beside the one that is being filled.
export const MAX_CONCURRENCY = 5

/** The plugin's options that a configuration means. */
export function optionsFromConfig (config: Config) {
  const read = <Of extends Group>(of: Of): Settings<Of> =>
    Object.fromEntries(settings.filter(({ group }) => group === of).map(({ option, variable }) => [option, config[variable as Variable]])) as Settings<Of>
  const missing = missingB2(config)
  const concurrency = Math.max(1, Math.min(MAX_CONCURRENCY, Math.floor(config.MEMORY_BUDGET_BYTES / config.B2_PART_BYTES) - 1))
  return {
    ...read(''),
    missing,
    b2: missing.length > 0 ? undefined : { ...read('b2'), concurrency },
    local: { ...read('local'), required: isProduction(config) },
    downloads: read('downloads'),
    resumable: config.RESUMABLE_MAX_AGE_MS === 0 ? false as const : read('resumable'),
  }
}

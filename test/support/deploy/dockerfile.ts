import { readDocument } from '../docs/markdown.ts'

/** One instruction of a Dockerfile. */
export interface Instruction {
  /** In capitals: `FROM`, `COPY`, … */
  readonly name: string
  /** `--from=build` and the like, by name. */
  readonly flags: Readonly<Record<string, string>>
  /** All the rest, its lines joined. */
  readonly rest: string
}

/** What one `FROM` begins. */
export interface Stage {
  readonly name: string
  /** Another stage, or an image. */
  readonly from: string
  readonly instructions: readonly Instruction[]
}

export const DOCKERFILE = readDocument('Dockerfile')
export const instructions = instructionsOf(DOCKERFILE)
export const stages = stagesOf(instructions)

function instructionsOf (dockerfile: string): Instruction[] {
  const lines = dockerfile.replaceAll(/^\s*#.*\n/gm, '').replaceAll(/\\\n\s*/g, '').split('\n').filter(line => line.trim() !== '')
  return lines.map(line => {
    const [, name, flags, rest] = /^(\w+)((?:\s+--\S+)*)\s+(.*)$/.exec(line)!
    return {
      name: name!.toUpperCase(),
      flags: Object.fromEntries([...flags!.matchAll(/--([\w-]+)=(\S+)/g)].map(([, flag, value]) => [flag, value!])),
      rest: rest!,
    }
  })
}

function stagesOf (instructions: readonly Instruction[]): Stage[] {
  const stages: (Stage & { instructions: Instruction[] })[] = []
  for (const instruction of instructions) {
    if (instruction.name === 'FROM') {
      const [from, , name = ''] = instruction.rest.split(/\s+/)
      stages.push({ name, from: from!, instructions: [] })
    } else {
      stages.at(-1)?.instructions.push(instruction)
    }
  }
  return stages
}

/** What an image has: that of its stage, after that of the stages it is made of. */
export function imageOf (name: string): Instruction[] {
  const stage = stages.find(stage => stage.name === name)
  return stage === undefined ? [] : [...imageOf(stage.from), ...stage.instructions]
}

/** The last instruction of a name, which is the one that counts. */
export function lastOf (image: string, name: string): string {
  return imageOf(image).findLast(instruction => instruction.name === name)?.rest ?? ''
}

/** One that has the form of an array. */
export function commandOf (image: string, name: 'CMD' | 'HEALTHCHECK'): string[] {
  return JSON.parse(lastOf(image, name).replace(/^CMD /, ''))
}

export function environmentOf (image: string): Record<string, string> {
  return Object.fromEntries(imageOf(image).filter(({ name }) => name === 'ENV').flatMap(({ rest }) => pairsIn(rest)))
}

/** The words of an `ENV`, `ARG` or `LABEL`, each with its value. */
export function pairsIn (rest: string): [name: string, value: string][] {
  return [...rest.matchAll(/([\w.-]+)(?:=(?:"([^"]*)"|(\S*)))?/g)].map(([, name, quoted, plain]) => [name!, quoted ?? plain ?? ''])
}

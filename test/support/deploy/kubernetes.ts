import { readdirSync } from 'node:fs'
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import { Job } from 'kubernetes-models/batch/v1/Job'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Namespace } from 'kubernetes-models/v1/Namespace'
import { Secret } from 'kubernetes-models/v1/Secret'
import { Service } from 'kubernetes-models/v1/Service'
import { parseAllDocuments } from 'yaml'
import { readDocument } from '../docs/markdown.ts'

export const DIR = 'deploy/kubernetes'
const MODELS = [ConfigMap, Job, Namespace, NetworkPolicy, PodDisruptionBudget, Secret, Service, StatefulSet]

// Tests look into objects of all kinds.
export type Manifest = any

/** The objects of a text of YAML, none of whose keys is there twice. */
export function manifestsIn (text: string): Manifest[] {
  return parseAllDocuments(text, { uniqueKeys: true }).map(document => {
    if (document.errors.length > 0) throw document.errors[0]
    return document.toJS()
  })
}

export function manifestFiles (): string[] {
  return readdirSync(new URL(`../../../${DIR}`, import.meta.url)).filter(file => file.endsWith('.yaml')).sort()
}

export function readManifests (file: string): Manifest[] {
  return manifestsIn(readDocument(`${DIR}/${file}`))
}

/**
 * What the API server would refuse by the schema of an object's kind, and fields that the schema does not have: an API
 * server ignores these, or warns. Undefined for kinds that are not Kubernetes' own.
 */
export function problemsOf (manifest: Manifest): string[] | undefined {
  const model = MODELS.find(({ apiVersion, kind }) => manifest.apiVersion === apiVersion && manifest.kind === kind)
  if (model === undefined) return undefined
  const seen = new Set<string>()
  try {
    model.prototype.validate.call(watched(manifest, '', seen))
  } catch (error) {
    return [(error as Error).message]
  }
  return pathsOf(manifest, '').filter(path => !seen.has(path)).map(path => `${path} is no field of ${manifest.kind}`)
}

/** The validators are made of the schemas, and ask for each field of theirs. What they never asked for they do not know. */
function watched (value: Manifest, path: string, seen: Set<string>): Manifest {
  return new Proxy(value, {
    get (target, key) {
      const field = target[key]
      if (typeof key !== 'string') return field
      seen.add(`${path}/${key}`)
      return typeof field === 'object' && field !== null ? watched(field, `${path}/${key}`, seen) : field
    },
  })
}

function pathsOf (value: Manifest, path: string): string[] {
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([key, field]) => [`${path}/${key}`, ...pathsOf(field, `${path}/${key}`)])
}

import { execFile, spawnSync } from 'node:child_process'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseEnv, promisify } from 'node:util'
import t from 'tap'
import { ConfigError } from '../../services/config/errors.ts'
import { ConfigSchema } from '../../services/config/schema.ts'
import { isProduction, parseConfig } from '../../services/config/config.ts'
import { environmentOf, lastOf } from '../support/deploy/dockerfile.ts'
import { DIR, manifestFiles, manifestsIn, problemsOf, readManifests } from '../support/deploy/kubernetes.ts'
import type { Manifest } from '../support/deploy/kubernetes.ts'
import { readDocument } from '../support/docs/markdown.ts'
import { memoryFor } from '../support/service/memory-limit.ts'
import { startService } from '../support/service/service.ts'

const HAS_KUBECTL = spawnSync('kubectl', ['version', '--client']).status === 0
const CLOSE_ALLOWANCE_SECONDS = 10
const { version } = JSON.parse(readDocument('package.json'))
const [kustomization] = readManifests('kustomization.yaml')
const [statefulSet] = readManifests('stateful-set.yaml')
const [job] = readManifests('promote-job.yaml')
const [podMonitor] = readManifests('pod-monitor.yaml')
const [disruptions] = readManifests('pod-disruption-budget.yaml')
const [network] = readManifests('network-policy.yaml')
const [service, instances] = readManifests('services.yaml')
const [secret, metricsSecret] = readManifests('secret.example.yaml')
const uploadsEnv = parseEnv(readDocument(`${DIR}/uploads.env`)) as Record<string, string>
const podOf = (owner: Manifest): Manifest => owner.spec.template.spec
const containerOf = (owner: Manifest): Manifest => podOf(owner).containers[0]
const labelsOf = (owner: Manifest): Record<string, string> => owner.spec.template.metadata.labels
const container = containerOf(statefulSet)

const fits = (selector: Record<string, string>, labels: Record<string, string>): boolean =>
  Object.keys(selector).length > 0 && Object.entries(selector).every(([name, value]) => labels[name] === value)
const mebibytes = (text: string): number => Number(/^(\d+)Mi$/.exec(text)![1]) * 1_048_576

/** What those who use the manifests have to set. */
const SET_BY_USERS = {
  B2_ENDPOINT: 'https://s3.us-west-004.backblazeb2.com', B2_BUCKET: 'a-bucket', B2_APPLICATION_KEY_ID: 'id', B2_APPLICATION_KEY: 'key', API_KEYS: 'a-key-of-sixteen-characters',
}
const asItStands = { ...environmentOf('service'), ...uploadsEnv, ...secret.stringData }
const config = parseConfig({ ...asItStands, ...SET_BY_USERS })

t.test('each manifest fits the schema of its kind, and has no field that this one lacks', async t => {
  const without: string[] = []
  for (const file of manifestFiles()) {
    for (const manifest of readManifests(file)) {
      const problems = problemsOf(manifest)
      if (problems === undefined) without.push(manifest.kind)
      else t.same(problems, [], `${manifest.kind} of ${file}`)
    }
  }
  t.same(without, ['Kustomization', 'PodMonitor'], 'kinds that Kubernetes itself does not have')
})

t.test('that finds what is misspelt or of the wrong type, however deep', async t => {
  const bad = structuredClone(statefulSet)
  Object.assign(containerOf(bad).readinessProbe.httpGet, { paht: '/ready' })
  bad.spec.volumeClaimTemplates[0].spec.acessModes = []
  bad.replicas = 3
  t.same(problemsOf(bad), ['/spec/template/spec/containers/0/readinessProbe/httpGet/paht', '/spec/volumeClaimTemplates/0/spec/acessModes', '/replicas']
    .map(path => `${path} is no field of StatefulSet`))
  bad.spec.replicas = '2'
  t.same(problemsOf(bad), ['data/spec/replicas must be integer'])
})

t.test('the kustomization has every file, but for those that are for single occasions, and everything is in one namespace', async t => {
  const apart = ['kustomization.yaml', 'pod-monitor.yaml', 'promote-job.yaml', 'secret.example.yaml']
  t.same([...kustomization.resources, ...apart].sort(), manifestFiles())
  const [namespace] = readManifests('namespace.yaml')
  for (const { kind, metadata } of manifestFiles().flatMap(readManifests)) {
    if (kind !== 'Namespace' && kind !== 'Kustomization') t.equal(metadata.namespace, namespace.metadata.name, kind)
  }
  t.equal(kustomization.namespace, namespace.metadata.name)
})

t.test('kubectl makes of the kustomization what is meant', { skip: HAS_KUBECTL ? false : 'no kubectl here' }, async t => {
  const { stdout } = await promisify(execFile)('kubectl', ['kustomize', fileURLToPath(new URL(`../../${DIR}`, import.meta.url))])
  const manifests = manifestsIn(stdout)
  for (const manifest of manifests) t.same(problemsOf(manifest), [], manifest.kind)
  const [configMap] = manifests.filter(({ kind }) => kind === 'ConfigMap')
  t.same(configMap.data, uploadsEnv)
  const [{ image, envFrom }] = podOf(manifests.find(({ kind }) => kind === 'StatefulSet')).containers
  t.equal(image, `fastify-b2-uploads:${version}`)
  t.equal(envFrom[0].configMapRef.name, configMap.metadata.name)
})

t.test('the image is that of this version, and runs as the user, and with the volume, that it is made for', async t => {
  const [image] = kustomization.images
  t.match(image, { name: container.image, newTag: version })
  t.equal(containerOf(job).image, `${image.newName}:${version}`)
  const user = Number(lastOf('service', 'USER').split(':')[0])
  for (const owner of [statefulSet, job]) {
    t.match(podOf(owner).securityContext, { runAsNonRoot: true, runAsUser: user, runAsGroup: user, fsGroup: user, seccompProfile: { type: 'RuntimeDefault' } })
    t.same(containerOf(owner).securityContext, { allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: { drop: ['ALL'] } })
    t.same(containerOf(owner).volumeMounts, [{ name: 'storage', mountPath: lastOf('service', 'VOLUME') }])
    t.equal(podOf(owner).automountServiceAccountToken, false)
  }
  t.same(podOf(statefulSet).volumes, undefined)
  const [claim] = statefulSet.spec.volumeClaimTemplates
  t.equal(claim.metadata.name, 'storage')
  t.same(podOf(job).volumes, [{
    name: 'storage', persistentVolumeClaim: { claimName: `${claim.metadata.name}-${statefulSet.metadata.name}-${statefulSet.spec.replicas}` },
  }], 'of the first instance that there is no more')
})

t.test('there is one instance, as those with volumes of their own do not know of each other\'s files', async t => {
  const shared = (statefulSet.spec.template.spec.volumes ?? []).some(({ persistentVolumeClaim }: Manifest) => persistentVolumeClaim !== undefined)
  t.ok(statefulSet.spec.replicas === 1 || shared)
  const page = readDocument('docs/deployment.md')
  t.match(page, /\*\*One instance\*\*, because [^]*?\]\(#one-shared-volume\)/, 'the page says why, and what several need')
  t.match(page, `storage-uploads-${statefulSet.spec.replicas}`)
})

t.test('the job promotes, with the configuration of the service', async t => {
  t.same(containerOf(job).command, ['node', `${dirname(lastOf('service', 'CMD').split('"')[3]!)}/cli/promote.js`])
  t.equal(containerOf(job).envFrom[1].secretRef.name, secret.metadata.name)
  t.match(readDocument(`${DIR}/promote-job.yaml`), `create configmap ${containerOf(job).envFrom[0].configMapRef.name} --from-env-file=uploads.env`)
})

t.test('the service knows the variables, and refuses to start until those are set that nobody else can know', async t => {
  t.same(Object.keys(asItStands).filter(name => !(name in ConfigSchema.properties)), [])
  t.ok(isProduction(config))
  try {
    parseConfig(asItStands)
    t.fail('it starts')
  } catch (error) {
    t.type(error, ConfigError)
    t.same((error as ConfigError).variables, Object.keys(SET_BY_USERS))
  }
  const [generated] = kustomization.configMapGenerator
  t.same(generated.envs, ['uploads.env'])
  t.same(container.envFrom, [{ configMapRef: { name: generated.name } }, { secretRef: { name: secret.metadata.name } }])
})

t.test('the paths that are asked without a key, by probes, and with one, by Prometheus, are there', async t => {
  const { url } = await startService(t, { API_KEYS: 'a-key' })
  for (const [name, path] of [['startupProbe', '/health'], ['livenessProbe', '/health'], ['readinessProbe', '/ready']] as const) {
    t.same(container[name].httpGet, { path, port: 'http' })
    t.equal((await fetch(url + path)).status, 200)
  }
  const { livenessProbe: { periodSeconds, failureThreshold } } = container
  t.ok(periodSeconds * failureThreshold >= 60, 'one that is busy has a minute')
  t.same(container.ports, [{ name: 'http', containerPort: config.PORT }])

  const [endpoint, ...others] = podMonitor.spec.podMetricsEndpoints
  t.same(others, [])
  const [key] = Object.keys(metricsSecret.stringData)
  t.match(endpoint, { port: 'http', authorization: { type: 'Bearer', credentials: { name: metricsSecret.metadata.name, key } } })
  t.equal((await fetch(url + endpoint.path, { headers: { authorization: 'Bearer a-key' } })).status, 200)
  t.same(Object.keys(endpoint).sort(), ['authorization', 'interval', 'path', 'port', 'relabelings'])
  t.same(endpoint.relabelings, [{ targetLabel: 'job', replacement: 'uploads' }])
  t.match(readDocument('deploy/prometheus/alerts.yaml'), 'job="uploads"', 'as the alert rules ask for it')
})

t.test('nothing is killed before its grace is over, nor for the memory that it may have', async t => {
  const grace = config.SHUTDOWN_GRACE_MS / 1_000 + CLOSE_ALLOWANCE_SECONDS
  const [command, seconds] = container.lifecycle.preStop.exec.command
  t.equal(command, 'sleep')
  t.ok(podOf(statefulSet).terminationGracePeriodSeconds >= Number(seconds) + grace)
  t.ok(podOf(job).terminationGracePeriodSeconds >= grace)
  const { periodSeconds, failureThreshold } = container.readinessProbe
  t.ok(Number(seconds) >= periodSeconds * failureThreshold, 'nor left before a proxy knows that looks at probes')
  for (const owner of [statefulSet, job]) {
    const { requests, limits } = containerOf(owner).resources
    t.ok(mebibytes(limits.memory) >= memoryFor(config.MEMORY_BUDGET_BYTES))
    t.equal(requests.memory, limits.memory)
    t.notOk(limits.cpu)
  }
})

t.test('selectors find the pods that are meant', async t => {
  const ofPods = [
    statefulSet.spec.selector.matchLabels, podOf(statefulSet).topologySpreadConstraints[0].labelSelector.matchLabels, service.spec.selector,
    instances.spec.selector, disruptions.spec.selector.matchLabels, podMonitor.spec.selector.matchLabels,
  ]
  for (const selector of ofPods) {
    t.ok(fits(selector, labelsOf(statefulSet)))
    t.notOk(fits(selector, labelsOf(job)), 'the job takes no uploads')
  }
  for (const owner of [statefulSet, job]) t.ok(fits(network.spec.podSelector.matchLabels, labelsOf(owner)), 'and is in the same network')
})

t.test('instances have names of their own, and all traffic is to the port of the service, names and B2', async t => {
  t.equal(statefulSet.spec.serviceName, instances.metadata.name)
  t.equal(instances.spec.clusterIP, 'None')
  t.notOk(service.spec.clusterIP)
  for (const { spec } of [service, instances]) t.match(spec.ports, [{ targetPort: 'http' }])
  t.same(network.spec.policyTypes, ['Ingress', 'Egress'])
  t.same(network.spec.ingress.map(({ ports }: Manifest) => ports), [[{ port: 'http' }]])
  const out = network.spec.egress.flatMap(({ ports }: Manifest) => ports)
  t.same(out.map(({ protocol, port }: Manifest) => `${protocol} ${port}`), ['UDP 53', 'TCP 53', 'TCP 443'])
})

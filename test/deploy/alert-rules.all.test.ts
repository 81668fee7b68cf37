import { execFile, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { parse } from 'yaml'
import { readDocument, sectionsOf } from '../support/docs/markdown.ts'
import { scrape } from '../support/service/metrics.ts'
import { otherWordsIn, selectorsIn } from '../support/deploy/promql.ts'
import { b2Env, startB2, startService } from '../support/service/service.ts'

const DIR = fileURLToPath(new URL('../../deploy/prometheus/', import.meta.url))
const HAS_PROMTOOL = spawnSync('promtool', ['--version']).status === 0
const skip = HAS_PROMTOOL ? false : 'no promtool here; Debian has it in the package prometheus'

/** What Prometheus adds to each sample itself, and the metrics that are its own. */
const OWN_LABELS = ['job', 'instance']
const OWN_METRICS = ['up']
const FUNCTIONS = ['absent', 'avg_over_time', 'changes', 'increase', 'max', 'min_over_time', 'predict_linear', 'sum']
const OPERATORS = ['and', 'or', 'unless', 'offset']

interface Rule {
  readonly record?: string
  readonly alert?: string
  readonly expr: string
  readonly labels?: Record<string, string>
  readonly annotations?: Record<string, string>
}

type Alert = Rule & { readonly alert: string }

const read = (file: string): any => parse(readFileSync(join(DIR, file), 'utf8'))
const rules = (read('alerts.yaml').groups as { rules: Rule[] }[]).flatMap(group => group.rules)
const alerts = rules.filter((rule): rule is Alert => rule.alert !== undefined)
const run = promisify(execFile)

t.test('promtool finds nothing wrong with the rules and the example of a configuration', { skip }, async t => {
  const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-prometheus-'))
  t.teardown(() => rm(dir, { recursive: true, force: true }))
  await cp(DIR, dir, { recursive: true })
  await writeFile(join(dir, 'uploads-api-key'), 'a-key')
  t.match((await run('promtool', ['check', 'rules', '--lint=all', '--lint-fatal', join(dir, 'alerts.yaml')])).stdout, `SUCCESS: ${rules.length} rules found`)
  t.match((await run('promtool', ['check', 'config', join(dir, 'prometheus.yaml')])).stdout, /SUCCESS: 1 rule files found/)
})

t.test('each alert fires when it should, and only then', { skip, timeout: 120_000 }, async t => {
  const { stdout } = await run('promtool', ['test', 'rules', 'alerts.test.yaml'], { cwd: DIR })
  t.match(stdout, /SUCCESS/)
})

t.test('each alert has a test in which it fires', async t => {
  const tests = readFileSync(join(DIR, 'alerts.test.yaml'), 'utf8')
  t.ok(alerts.length > 10)
  for (const { alert } of alerts) t.match(tests, `ALERTS{alertname="${alert}", alertstate="firing"`, alert)
})

t.test('each alert says what it is, how urgent, and where to read what to do', async t => {
  const sections = sectionsOf(readDocument('docs/operations.md'))
  for (const { alert, labels, annotations } of alerts) {
    t.match(labels?.['severity'], /^(critical|warning)$/, alert)
    for (const name of ['summary', 'description']) t.match(annotations?.[name], /^\S.{10,}$/, `${alert} has a ${name}`)
    const [path, anchor] = (annotations?.['runbook_url'] ?? '').split('#')
    t.equal(path, 'docs/operations.md')
    const section = sections.find(section => section.anchor === anchor)
    t.equal(section?.title, alert, 'the section it points to is its own')
    t.match(section?.text.toLowerCase(), new RegExp(`^\\*${labels!['severity']}[:,]`), `which calls it ${labels!['severity']}`)
  }
  const titles = sections.map(({ title }) => title)
  const rest = sections.slice(titles.indexOf('Alerts') + 1)
  const documented = rest.slice(0, rest.findIndex(({ level }) => level === 2)).map(({ title }) => title)
  t.same(documented, alerts.map(({ alert }) => alert), 'all that are documented are there, in the same order')
})

t.test('the rules ask for metrics, labels and values that the service has', async t => {
  const { samples } = await scrape(await startService(t, b2Env(await startB2(t))))
  const exposed = new Map<string, Map<string, Set<string>>>()
  for (const { name, labels } of [...samples.keys()].map(sample => selectorsIn(sample.includes('{') ? sample : `${sample}{}`)[0]!)) {
    const known = exposed.get(name) ?? new Map<string, Set<string>>()
    for (const [label, values] of labels) known.set(label, new Set([...known.get(label) ?? [], ...values]))
    exposed.set(name, known)
  }
  const recorded = rules.flatMap(({ record }) => record ?? [])
  for (const { alert, record, expr } of rules) {
    t.test(alert ?? record!, async t => {
      for (const { name, labels } of selectorsIn(expr)) {
        t.same(labels.get('job'), ['uploads'], `${name} of this job`)
        if (OWN_METRICS.includes(name)) continue
        t.ok(exposed.has(name), `${name} is there`)
        for (const [label, values] of labels) {
          if (OWN_LABELS.includes(label)) continue
          for (const value of values) t.ok(exposed.get(name)?.get(label)?.has(value), `${name} with ${label}="${value}" is there`)
        }
      }
      t.same(otherWordsIn(expr).filter(word => ![...FUNCTIONS, ...OPERATORS, ...recorded].includes(word)), [], 'and for nothing else')
    })
  }
})

t.test('the configuration scrapes the route of the metrics with a key from a file, under the name that the rules ask for', async t => {
  const { rule_files: ruleFiles, scrape_configs: [job] } = read('prometheus.yaml')
  t.same(ruleFiles, ['alerts.yaml'])
  t.match(job, { job_name: 'uploads', authorization: { type: 'Bearer', credentials_file: 'uploads-api-key' } })
  t.equal(job.metrics_path ?? '/metrics', '/metrics')
})

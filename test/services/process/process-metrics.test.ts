import { register } from 'prom-client'
import t from 'tap'
import { processMetrics } from '../../../services/process/process-metrics.ts'

t.test('a process is measured once, whoever asks, and not in the registry that all share', async t => {
  const registry = processMetrics()
  t.equal(processMetrics(), registry)
  const text = await registry.metrics()
  for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'nodejs_eventloop_lag_seconds']) t.match(text, `\n${name} `)
  t.same(register.getMetricsAsArray(), [])
})

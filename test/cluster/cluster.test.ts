/** What is quick of the tests on a real Kubernetes, where its control plane was made before: `npm run test:cluster` makes it and runs all. */
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { kubernetesIfMade } from '../../scripts/kubernetes.ts'
import { ROOT } from '../fixtures.ts'

const QUICK = ['control-plane', 'client', 'specs', 'commands'].map((name) => `test/cluster/${name}.cluster.ts`)

test('what must hold on a real Kubernetes does', { timeout: 300_000 }, async (t) => {
  if (kubernetesIfMade() === undefined) {
    const why = 'NOT RUN: kube-apiserver was never built on this machine; `npm run test:cluster` builds it (some fifteen minutes, once)'
    t.diagnostic(why)
    t.skip(why)
    return
  }
  t.diagnostic(`the rest of test/cluster/*.cluster.ts runs with: npm run test:cluster`)
  // The runner takes a test of its own to be one of its children, and would say nothing.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env
  const args = ['--test', '--test-concurrency=1', '--test-reporter=spec', ...QUICK]
  const child = spawn(process.execPath, args, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'], signal: t.signal })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const code = await new Promise((resolve, reject) => child.once('close', resolve).once('error', reject))
  for (const line of said.split('\n')) if (/^ℹ (tests|pass|skipped)/.test(line)) t.diagnostic(line.slice(2))
  if (code !== 0) throw new Error(`it does not:\n${said}`)
})

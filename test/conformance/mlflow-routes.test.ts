import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { UNCLAIMED } from '../../src/api/mlflow/unclaimed.ts'
import { pythonEnv } from '../../scripts/python-env.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { ROOT } from '../fixtures.ts'

const SCRIPT = `
import json
from mlflow.server import app
rules = [[str(rule.rule), sorted(set(rule.methods) - {"HEAD", "OPTIONS"})] for rule in app.url_map.iter_rules()]
print(json.dumps(rules))
`

/** Pages of its console, what their build is served from, and an address of the reference in which a slash is missing. */
const ITS_PAGES = /^\/$|^\/static-files\/|^\/build\/|^\/(ajax-)?api\/2\.0mlflow\//

it("every route of MLflow's server is answered here, or says that it is not here", { timeout: 300_000 }, async () => {
  const python = await pythonEnv('mlflow-3')
  const { stdout } = await promisify(execFile)(python, ['-c', SCRIPT], { env: { ...process.env, MLFLOW_DISABLE_TELEMETRY: 'true' } })
  const rules = JSON.parse(stdout.trim().split('\n').at(-1)!) as [path: string, methods: string[]][]
  assert.ok(rules.length > 200, `${rules.length} routes`)
  await using plane = await planeInProcess()
  const missing: string[] = []
  for (const [rule, methods] of rules)
    if (!ITS_PAGES.test(rule))
      for (const method of methods) {
        const path = rule.replaceAll(/<[^>]*>/g, 'x')
        const options = { method, headers: { 'content-type': 'application/json' }, ...(method !== 'GET' && { body: '{}' }) }
        const response = await fetch(`${plane.url}${path}`, options)
        const body = await response.text()
        if (response.status === 405 || (response.status === 404 && !body.includes('RESOURCE_DOES_NOT_EXIST')))
          missing.push(`${method} ${rule}: ${response.status} ${body.slice(0, 100)}`)
      }
  assert.deepEqual(missing, [])
})

it('what is not here is named in the guide, area by area', async () => {
  const guide = (await readFile(join(ROOT, 'docs/guides/registry.md'), 'utf8')).replaceAll(/\s+/g, ' ')
  for (const area of Object.keys(UNCLAIMED)) assert.ok(guide.includes(area), area)
})

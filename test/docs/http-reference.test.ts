import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { ERRORS } from '../../src/core/errors.ts'
import { adminRoutes } from '../../src/protocol/http/admin.ts'
import { kserveV1 } from '../../src/protocol/http/dialects/kserve-v1.ts'
import { routesOf } from '../../src/protocol/http/dialects/routes-of.ts'
import { hintsOf } from '../../src/protocol/http/dialects/hints.ts'
import { tfserving } from '../../src/protocol/http/dialects/tfserving.ts'
import { torchserveManagement } from '../../src/protocol/http/dialects/torchserve/management.ts'
import { torchserve } from '../../src/protocol/http/dialects/torchserve/torchserve.ts'
import { ROOT } from '../fixtures.ts'

const page = (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8')

it('the reference of HTTP has every route of administration, every status and every header of ours', async () => {
  const reference = await page('docs/reference/http.md')
  for (const { method, path } of adminRoutes({} as never)) {
    const written = path.replaceAll(/:(\w+)/g, '{$1}')
    assert.ok(reference.includes(`\`${method} ${written}\``), `${method} ${written}`)
  }
  for (const name of ['unit', 'priority', 'timeout-ms', 'model', 'variant', 'version', 'cache', 'warnings'])
    assert.ok(reference.includes(`\`slipway-${name}\``), name)
  const statuses = reference.slice(reference.indexOf('## Status codes'), reference.indexOf('## Headers'))
  for (const code of ['SLW_MODEL_INVALID', 'SLW_MEMORY_EXCEEDED', 'SLW_QUEUE_FULL', 'SLW_RUN_TIMEOUT', 'SLW_CANCELLED'] as const)
    assert.match(statuses, new RegExp(`\\b${ERRORS[code].http} `), code)
})

it('the reference of HTTP has every path of the dialects of other servers', async () => {
  const reference = await page('docs/reference/http.md')
  for (const [dialect, suffixes] of [
    [kserveV1, []],
    [tfserving, ['/versions/{version}', '/labels/{label}']],
    [torchserve, ['/{version}']],
    [torchserveManagement, ['/{version}']],
  ] as const) {
    const row = reference.split('\n').find((line) => line.startsWith(`| \`${dialect.name}\` |`))
    assert.ok(row !== undefined, dialect.name)
    for (const { path } of routesOf(dialect, {} as never)) {
      const written = path.replaceAll(/(?<!:):(\w+)(?:\([^)]*\))?/g, '{$1}').replaceAll('::', ':')
      const short = suffixes.reduce<string>((text, suffix) => text.replace(suffix, ''), written)
      assert.ok(row.includes(written) || row.includes(short), `${dialect.name}: ${written}`)
    }
  }
})

it('whoever comes from another server finds their route in the guide, with ours beside it', async () => {
  const guide = await page('docs/guides/coming-from.md')
  for (const [theirs, dialect] of [
    ['/v1/models/NAME:predict', 'kserve-v1'],
    ['/v1/models/NAME:predict', 'tfserving'],
    ['/predictions/NAME', 'torchserve'],
    ['/ping', 'torchserve'],
    ['POST /models?url=...', 'torchserve-management'],
  ] as const) {
    assert.ok(guide.includes(theirs), theirs)
    assert.match(guide, new RegExp(`--dialects [\\w,@-]*\\b${dialect}\\b`))
  }
})

it('a route of a dialect that is off leads to the option that turns it on, and the guide has both', async () => {
  const guide = await page('docs/guides/coming-from.md')
  const hint = hintsOf([{ name: 'predict' }], {} as never, 'beside')
  for (const [method, path, dialect] of [
    ['POST', '/invocations', 'mlflow'],
    ['GET', '/ping', 'mlflow'],
  ] as const) {
    assert.ok(guide.includes(path), path)
    assert.match(hint(method, path) ?? '', new RegExp(`--dialects predict,${dialect}\\b`), path)
    assert.match(guide, new RegExp(`--dialects [a-z0-9,-]*\\b${dialect}\\b`), dialect)
  }
})

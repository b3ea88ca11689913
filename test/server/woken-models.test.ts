import assert from 'node:assert/strict'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { serveInChild } from '../child-server.ts'
import { until } from '../fixtures.ts'
import { keepAliveLoad } from '../keep-alive-load.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const

describe('with memory for a few models only, under load,', () => {
  it('a model that was just loaded for a request stays until it has answered, however many others want its memory', async () => {
    await using folder = await temporaryFolder()
    for (const [index, name] of NAMES.entries()) await folder.write(`models/${name}/1/model.onnx`, addingModel(index, 8))
    await using server = await serveInChild([join(folder.path, 'models'), '--memory-budget-mb', '160', '--instances', '1'])
    await using load = keepAliveLoad(server.url, NAMES, { clients: 8 })
    await until(() => load.answers.length > 60, 'all are asked', 60_000)
    const answers = await load.stop()
    assert.deepEqual(
      answers.filter(({ status, model, added }) => status !== 200 || NAMES[added ?? -1] !== model),
      [],
    )
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    assert.match(metrics, /^slipway_model_unloads_total\{.*reason="evicted"\} \d+$/m, 'memory was scarce')
  })

  it('a model whose version is replaced while it is being loaded for a request is answered by the new version', async () => {
    await using folder = await temporaryFolder()
    for (const [index, name] of NAMES.entries()) await folder.write(`models/${name}/1/model.onnx`, addingModel(index, 8))
    const args = [join(folder.path, 'models'), '--memory-budget-mb', '160', '--instances', '1', '--poll-ms', '50']
    await using server = await serveInChild(args)
    await using load = keepAliveLoad(server.url, NAMES, { clients: 8 })
    for (let version = 2; version <= 3; version++) {
      for (const [index, name] of NAMES.slice(0, 3).entries()) {
        await folder.write(`made/${name}-${version}/model.onnx`, addingModel(index + 100 * version, 8))
        await rename(join(folder.path, `made/${name}-${version}`), join(folder.path, `models/${name}/${version}`))
      }
      const count = load.answers.length
      await until(() => load.answers.slice(count).some(({ version: by }) => by === String(version)), `version ${version} answers`, 60_000)
    }
    const answers = await load.stop()
    assert.deepEqual(
      answers.filter(({ status, model, added }) => status !== 200 || NAMES[(added ?? -1) % 100] !== model),
      [],
    )
  })
})

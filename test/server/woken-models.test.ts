import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { Agent } from 'node:http'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { serveInChild } from '../child-server.ts'
import { until } from '../fixtures.ts'
import { askAdding, keepAliveLoad } from '../keep-alive-load.ts'
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

  it('a broken version that comes while the good one is not in memory does not take its place', async () => {
    await using folder = await temporaryFolder()
    for (const [index, name] of NAMES.entries()) await folder.write(`models/${name}/1/model.onnx`, addingModel(index, 8))
    // Never asked: with many models a change takes a moment longer than the next load needs to begin.
    for (let index = 0; index < 60; index++) await folder.write(`models/idle-${index}/1/model.onnx`, addingModel(index))
    const trigger = join(folder.path, 'pause')
    const args = [join(folder.path, 'models'), '--memory-budget-mb', '160', '--instances', '1']
    await using server = await serveInChild(args, { SLIPWAY_FAIL_POINTS: `load.begin:pause@${trigger}` })
    const agent = new Agent({ keepAlive: true })
    for (const name of NAMES.slice(1)) assert.equal((await askAdding(agent, server.url, name)).status, 200)
    const phaseOfA = async (): Promise<string | undefined> => {
      const { models } = (await (await fetch(`${server.url}/health`)).json()) as { models: { name: string; phase: string }[] }
      return models.find(({ name }) => name === 'a')?.phase
    }
    assert.equal(await phaseOfA(), 'unloaded')
    await folder.write('models/a/2/model.onnx', 'garbage')
    await folder.write('pause', '')
    server.signal('SIGHUP')
    await until(() => !existsSync(trigger), 'the broken version is being loaded')
    // These wait behind that load: when it has failed, the good version is being loaded for them and not there yet.
    const answers = await Promise.all(Array.from({ length: 10 }, () => askAdding(agent, server.url, 'a')))
    for (const { status, added, text } of answers) assert.deepEqual([status, added], [200, 0], text)
    agent.destroy()
  })
})

/** Answers in parts over gRPC, from instances that give three of them. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { everythingTo } from '../../src/contract/routing.ts'
import { API_VERSION } from '../../src/contract/schema.ts'
import { systemClock } from '../../src/core/clock.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import { createIds } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/log.ts'
import { BodyThreads } from '../../src/protocol/bodies/body-threads.ts'
import { GrpcServer } from '../../src/protocol/grpc/server.ts'
import { grpcServices } from '../../src/protocol/grpc/services.ts'
import { resolveServer } from '../../src/server/options.ts'
import { instances } from '../../src/serving/backend.ts'
import { DataPlane } from '../../src/serving/data-plane.ts'
import { NOTHING_COUNTED } from '../../src/serving/observe/merge.ts'
import { addingModel } from '../adding-models.ts'
import { adding, grpcClient, numbersOf } from '../grpc-client.ts'
import { NO_ADMINISTRATION } from '../no-administration.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Backend } from '../../src/serving/backend.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import type { ProtoMessage } from '../../src/protocol/grpc/proto/schema.ts'

/** Answers 1, 2, 3 in three parts; or breaks off after the first, where it is asked with a negative number. */
const counting: Backend = {
  async open(options) {
    const model = await instances.open(options)
    const slots = model.slots.map((slot) =>
      Object.assign(Object.create(slot) as typeof slot, {
        run: (...given: Parameters<typeof slot.run>) => slot.run(...given),
        status: () => slot.status(),
        poll: () => slot.poll(),
        async stream(inputs: readonly Tensor[], _: readonly string[], onPart: (outputs: readonly Tensor[]) => void) {
          for (const part of [1, 2, 3]) {
            onPart([{ name: 'y', datatype: 'FP32', shape: [1, 1], data: Float32Array.of(part) }])
            await new Promise((resolve) => setImmediate(resolve))
            if ((inputs[0]!.data as Float32Array)[0]! < 0) throw new SlipwayError('SLW_RUN_FAILED', 'it broke')
          }
          return { outputs: [], computeUs: 3 }
        },
      }),
    )
    for (const [index, slot] of slots.entries())
      Object.defineProperties(slot, {
        state: { get: () => model.slots[index]!.state },
        available: { get: () => model.slots[index]!.available },
      })
    return { ...model, slots, inParts: true, inline: undefined, [Symbol.asyncDispose]: () => model[Symbol.asyncDispose]() }
  },
}

it('a stream gets each part of an answer, and the parts of one request before those of the next', async () => {
  await using opened = new AsyncDisposableStack()
  const folder = opened.use(await temporaryFolder())
  await folder.write('m/model.onnx', addingModel(1))
  const dataPlane = opened.use(new DataPlane({ cores: 1, clock: systemClock, log: silentLogger, observers: [], backend: counting }))
  await dataPlane.apply([
    {
      apiVersion: API_VERSION,
      kind: 'Endpoint',
      metadata: { name: 'm', generation: 1 },
      spec: { variants: [{ name: 'v1', model: 'm', version: '1', path: join(folder.path, 'm') }] },
      routing: everythingTo('v1', 'm'),
    },
  ])
  const nextId = createIds()
  const { tracing, limits } = resolveServer({})
  const server = opened.use(
    await GrpcServer.listen({
      address: { host: '127.0.0.1', port: 0 },
      tls: undefined,
      access: {},
      limits,
      clock: systemClock,
      log: silentLogger,
      nextId,
      services: grpcServices({
        dataPlane,
        limits,
        bodies: opened.use(new BodyThreads(1)),
        administration: NO_ADMINISTRATION,
        counts: () => Promise.resolve(NOTHING_COUNTED),
        tracing,
        logFile: undefined,
        access: {},
        nextId,
        notReady: () => undefined,
        watch: () => () => {},
      }),
    }),
  )
  const client = opened.use(grpcClient(server.target))
  const final = { parameters: { triton_enable_empty_final_response: { bool_param: true } } }
  const { status, messages } = await client.call('ModelStreamInfer', [
    { ...adding('m'), id: 'a' },
    { ...adding('m', [-1, 0, 0, 0]), id: 'b' },
    { ...adding('m'), ...final, id: 'c' },
  ])
  assert.equal(status, 0)
  const told = messages.map((message) => {
    const response = message['infer_response'] as ProtoMessage
    const parameters = (response['parameters'] ?? {}) as Record<string, { bool_param?: boolean }>
    const last = parameters['triton_final_response']?.bool_param
    return [response['id'], message['error_message'] ?? numbersOf(response)[0] ?? 'nothing', ...(last === undefined ? [] : [last])]
  })
  assert.deepEqual(told, [
    ['a', 1],
    ['a', 2],
    ['a', 3],
    ['b', 1],
    ['b', 'it broke'],
    ['c', 1, false],
    ['c', 2, false],
    ['c', 3, false],
    ['c', 'nothing', true],
  ])
})

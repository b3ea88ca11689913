/** `inference.GRPCInferenceService`: the Open Inference Protocol over gRPC, with the extensions of Triton. */
import { slipwayVersion } from '../../../core/version.ts'
import { infer } from '../../../serving/inference.ts'
import { answerHeaders } from '../../answer-headers.ts'
import { permits, requireAccess, requireModel } from '../../http/access.ts'
import { loadedAt, variantAt, variantsAt } from '../../v2/addresses.ts'
import { levelMeant, logSettings } from '../../v2/log-settings.ts'
import { EXTENSIONS } from '../../v2/extensions.ts'
import { modelConfig } from '../../v2/model-config.ts'
import { checkRepositoryName, checkRepositoryParameters, repositoryIndex } from '../../v2/repository.ts'
import { sharedMemoryRefused } from '../../v2/shared-memory.ts'
import { modelStatistics } from '../../v2/statistics.ts'
import { checkTraceChanges, traceSettings } from '../../v2/trace-settings.ts'
import { INFERENCE } from '../proto/inference.ts'
import { unary } from '../unary.ts'
import { GrpcCaller } from './grpc-caller.ts'
import { readInferRequest } from './infer-request.ts'
import { writeInferResponse } from './infer-response.ts'
import { streamInfer } from './stream-infer.ts'
import type { TensorSpec } from '../../../tensor/tensor.ts'
import type { AccessOptions } from '../../http/access.ts'
import type { DialectHost } from '../../http/dialects/dialect.ts'
import type { RouteAccess } from '../../http/routes.ts'
import type { Call } from '../call.ts'
import type { GrpcMethod, GrpcService } from '../methods.ts'
import type { ProtoMessage } from '../proto/schema.ts'

/** The parts of a server that the service uses. */
export interface InferenceHost extends Omit<DialectHost, 'defaultModel'> {
  readonly access: AccessOptions
  readonly nextId: () => string
  /** Why the server should get no traffic; undefined where it should. */
  readonly notReady: () => string | undefined
}

const SERVICE = 'GRPCInferenceService'
const SHARED_MEMORY = ['System', 'Cuda'].flatMap((kind) => ['Status', 'Register', 'Unregister'].map((act) => `${kind}SharedMemory${act}`))

export function inferenceService(host: InferenceHost): GrpcService {
  const tracing = traceSettings(host.tracing)
  const method = (
    name: string,
    access: RouteAccess,
    answer: (request: ProtoMessage, call: Call) => ProtoMessage | Promise<ProtoMessage>,
  ): GrpcMethod => unary({ schema: INFERENCE, service: SERVICE, name, access }, answer)
  return {
    schema: INFERENCE,
    name: SERVICE,
    methods: [
      { name: 'ModelInfer', access: 'predict', unary: (call, message) => modelInfer(host, call, message) },
      { name: 'ModelStreamInfer', access: 'predict', stream: (call) => streamInfer(host, call) },
      method('ServerLive', 'open', () => ({ live: true })),
      method('ServerReady', 'open', () => ({ ready: host.notReady() === undefined })),
      method('ServerMetadata', 'predict', () => ({ name: 'slipway', version: slipwayVersion(), extensions: EXTENSIONS })),
      method('ModelReady', 'predict', (request, call) => ({ ready: isReady(host, named(request, call)) })),
      method('ModelMetadata', 'predict', (request, call) => modelMetadata(host, named(request, call))),
      method('ModelConfig', 'predict', async (request, call) => {
        const variant = variantAt(host.dataPlane, named(request, call))
        const loaded = await loadedAt(host.dataPlane, variant)
        const { variants } = host.dataPlane.endpoint(variant.subject.endpoint)
        return {
          config: modelConfig(
            variant,
            loaded,
            variants.map(({ subject }) => subject.version),
          ),
        }
      }),
      method('ModelStatistics', 'predict', async (request, call) => {
        const all = (request['name'] ?? '') === ''
        const variants = all
          ? [...host.dataPlane.variants()].filter(({ subject }) => permits(call.caller, subject.endpoint))
          : variantsAt(host.dataPlane, named(request, call))
        return { model_stats: modelStatistics(await host.counts(), variants) }
      }),
      method('RepositoryIndex', 'predict', async (request, call) => {
        checkRepositoryName(textOf(request, 'repository_name'))
        const models = await repositoryIndex(host.dataPlane, {
          ready: request['ready'] === true,
          unloaded: async () => (await host.administration.models()).filter(({ unloaded }) => unloaded).map(({ name }) => name),
          permits: (name) => permits(call.caller, name),
        })
        return { models }
      }),
      method('RepositoryModelLoad', 'admin', async (request, call) => {
        await host.administration.load(toChange(request, call))
        return {}
      }),
      method('RepositoryModelUnload', 'admin', async (request, call) => {
        await host.administration.unload(toChange(request, call))
        return {}
      }),
      method('TraceSetting', 'predict', (request, call) => {
        const model = textOf(request, 'model_name')
        if (model !== '') variantAt(host.dataPlane, named({ name: model }, call))
        checkTraceChanges(changesOf(request), tracing)
        const settings = Object.entries(tracing).map(([name, value]) => [name, { value: typeof value === 'string' ? [value] : value }])
        return { settings: Object.fromEntries(settings) as ProtoMessage }
      }),
      method('LogSettings', 'predict', (request, call) => changeLog(host, request, call)),
      ...SHARED_MEMORY.map((name) =>
        method(name, 'predict', () => {
          throw sharedMemoryRefused(name)
        }),
      ),
    ],
  }
}

function modelInfer(host: InferenceHost, call: Call, message: Buffer): void {
  const { requestId, predictionId, startedMs } = call
  const caller = new GrpcCaller({
    call,
    host,
    message,
    request: readInferRequest(message),
    requestId,
    predictionId,
    startedMs,
    reply: {
      answer: (answer, answered) => call.answer(writeInferResponse(answer), answerHeaders(answered)),
      fail: (error) => call.fail(error),
    },
  })
  infer(host.dataPlane, caller)
}

function textOf(request: ProtoMessage, field: string): string {
  const value = request[field]
  return typeof value === 'string' ? value : ''
}

/** The model that a request names. @throws SLW_FORBIDDEN for one that the key is not for */
function named(request: ProtoMessage, call: Call): { readonly name: string; readonly version: string } {
  const name = textOf(request, 'name')
  if (call.caller !== undefined) requireModel(call.caller, name)
  return { name, version: textOf(request, 'version') }
}

/** As with Triton, a model that there is not is not ready, and no error. */
function isReady({ dataPlane }: InferenceHost, model: { readonly name: string; readonly version: string }): boolean {
  try {
    return variantAt(dataPlane, model).ready
  } catch {
    return false
  }
}

async function modelMetadata(
  { dataPlane }: InferenceHost,
  model: { readonly name: string; readonly version: string },
): Promise<ProtoMessage> {
  const variant = variantAt(dataPlane, model)
  const signature = await dataPlane.signatureOf(variant)
  const tensor = ({ name, datatype, shape, anyRank }: TensorSpec): ProtoMessage => ({
    name,
    datatype,
    shape: anyRank === true ? [-1] : shape,
  })
  return {
    name: variant.subject.endpoint,
    versions: variantsAt(dataPlane, model).map(({ subject }) => subject.version),
    platform: signature.platform,
    inputs: signature.inputs.map(tensor),
    outputs: signature.outputs.map(tensor),
  }
}

/** The model that is to be loaded or unloaded. @throws SLW_BAD_REQUEST, SLW_NOT_IMPLEMENTED */
function toChange(request: ProtoMessage, call: Call): string {
  const name = textOf(request, 'model_name')
  checkRepositoryName(textOf(request, 'repository_name'))
  checkRepositoryParameters(parametersOf(request['parameters']))
  call.administers({ wish: { model: name } })
  return name
}

/** Each of a map of messages that have one field set, as that. */
function parametersOf(map: unknown): Record<string, unknown> {
  return Object.fromEntries(Object.entries((map ?? {}) as Record<string, object>).map(([name, value]) => [name, Object.values(value)[0]]))
}

/** Settings that are to change; those that come empty ask for their default, which is what is in force. */
function changesOf(request: ProtoMessage): Record<string, unknown> {
  const settings = parametersOf(request['settings'])
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))
}

async function changeLog({ administration, access, logFile }: InferenceHost, request: ProtoMessage, call: Call): Promise<ProtoMessage> {
  const present = logSettings(await administration.logLevel(), logFile)
  const changes = changesOf(request)
  let now = present
  if (Object.keys(changes).length > 0) {
    requireAccess(access, call, 'admin', {})
    call.administers({ wish: changes })
    await administration.setLogLevel(levelMeant(present, changes))
    now = logSettings(await administration.logLevel(), logFile)
  }
  const setting = (value: string | boolean | number): ProtoMessage =>
    typeof value === 'boolean' ? { bool_param: value } : typeof value === 'number' ? { uint32_param: value } : { string_param: value }
  return {
    settings: Object.fromEntries(Object.entries(now).map(([name, value]: [string, string | boolean | number]) => [name, setting(value)])),
  }
}

/** What the platforms say that start a container: SageMaker, Vertex AI, Azure Machine Learning. */
import { existsSync, readFileSync } from 'node:fs'
import { totalmem } from 'node:os'
import type { Origin } from './origin.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** The settings of a platform, weaker than any other, and where its models are. */
export interface PlatformSettings {
  readonly origins: readonly Origin[]
  /** What to serve where nobody else says it. */
  readonly models: readonly { readonly path: string }[]
  /** Why there is nothing to serve, where nobody else says what. */
  readonly missing: string | undefined
  readonly warnings: readonly string[]
}

/** Looks of the file system that say where this process runs. */
export interface Surroundings {
  /** Whether a folder is there. */
  readonly exists: (path: string) => boolean
  /** Bytes of memory that this process may have. */
  readonly memoryBytes: () => number
}

/** Where SageMaker unpacks a model, and many. */
const SAGEMAKER_MODEL = '/opt/ml/model'
const SAGEMAKER_MODELS = '/opt/ml/models'
const SAGEMAKER_PORT = 8080
const SAGEMAKER_VARIABLES = [
  'SAGEMAKER_BIND_TO_PORT',
  'SAGEMAKER_MULTI_MODEL',
  'SAGEMAKER_MAX_PAYLOAD_IN_MB',
  'SAGEMAKER_MODEL_SERVER_WORKERS',
  'SAGEMAKER_MODEL_SERVER_TIMEOUT',
]
const VERTEX_PORT = 8080
const AZURE_PORT = 5001
/** Share of the memory that models may have; the rest is for the server, and for what loads. */
const MODELS_SHARE = 0.7
const BYTES_PER_MB = 1024 ** 2

/**
 * Reads the variables of the platform that has started this container. Nobody but the platform reaches such a container, so that it listens
 * on every address without keys.
 * @param nothingNamed whether nobody has named a model: SageMaker's folder alone then says where this is
 */
export function readPlatform(environment: Environment, nothingNamed: boolean, surroundings: Surroundings = THIS_MACHINE): PlatformSettings {
  const found = sagemaker(environment, nothingNamed, surroundings) ?? vertex(environment) ?? azure(environment)
  return found ?? { origins: [], models: [], missing: undefined, warnings: [] }
}

/** Collects the settings of one platform. */
class Settings {
  readonly origins: Origin[] = []
  readonly warnings: string[] = []
  readonly #platform: string
  readonly #environment: Environment

  constructor(platform: string, environment: Environment, { port, dialects }: { readonly port: number; readonly dialects: string }) {
    this.#platform = platform
    this.#environment = environment
    for (const [key, value] of Object.entries({ host: '0.0.0.0', insecure: true, port, dialects })) this.set(key, value)
  }

  set(key: string, value: unknown, variable?: string): void {
    this.origins.push({ key, value, origin: `platform ${this.#platform}${variable === undefined ? '' : ` (${variable})`}` })
  }

  text(variable: string): string | undefined {
    const text = this.#environment[variable]?.trim()
    return text === '' ? undefined : text
  }

  /** A variable for a whole number above 0; another value is ignored with a warning. */
  number(variable: string, key: string, valueOf: (number: number) => number = (number) => number): void {
    const text = this.text(variable)
    if (text === undefined) return
    const number = Number(text)
    if (Number.isInteger(number) && number > 0) this.set(key, valueOf(number), variable)
    else this.warnings.push(`environment variable ${variable}: "${text}" is no whole number above 0, and ignored`)
  }
}

function sagemaker(environment: Environment, nothingNamed: boolean, { exists, memoryBytes }: Surroundings): PlatformSettings | undefined {
  const many = environment['SAGEMAKER_MULTI_MODEL']?.toLowerCase() === 'true'
  const said = SAGEMAKER_VARIABLES.some((name) => (environment[name] ?? '') !== '')
  if (!said && !(nothingNamed && exists(SAGEMAKER_MODEL))) return undefined
  const settings = new Settings('SageMaker', environment, { port: SAGEMAKER_PORT, dialects: many ? 'sagemaker-multi-model' : 'sagemaker' })
  settings.number('SAGEMAKER_BIND_TO_PORT', 'port')
  settings.number('SAGEMAKER_MAX_PAYLOAD_IN_MB', 'limits.bodyBytes', (megabytes) => megabytes * BYTES_PER_MB)
  settings.number('SAGEMAKER_MODEL_SERVER_WORKERS', 'serving.instances')
  settings.number('SAGEMAKER_MODEL_SERVER_TIMEOUT', 'serving.requestTimeoutMs', (seconds) => seconds * 1000)
  const { origins, warnings } = settings
  if (!many) return { origins, warnings, models: [{ path: SAGEMAKER_MODEL }], missing: undefined }
  settings.set('modelRoots', [SAGEMAKER_MODELS], 'SAGEMAKER_MULTI_MODEL')
  // Without a budget nothing would ever be refused, and the platform would not know that something has to go.
  settings.set('memoryBudgetMb', Math.max(1, Math.floor((memoryBytes() * MODELS_SHARE) / BYTES_PER_MB)), 'SAGEMAKER_MULTI_MODEL')
  return { origins, warnings, models: [], missing: undefined }
}

function vertex(environment: Environment): PlatformSettings | undefined {
  const mode = environment['AIP_MODE'] ?? ''
  const said = mode === 'PREDICTION' || (mode === '' && (environment['AIP_HTTP_PORT'] ?? environment['AIP_PREDICT_ROUTE'] ?? '') !== '')
  if (!said) return undefined
  const settings = new Settings('Vertex AI', environment, { port: VERTEX_PORT, dialects: 'vertex' })
  settings.number('AIP_HTTP_PORT', 'port')
  for (const [variable, key] of [
    ['AIP_HEALTH_ROUTE', 'vertex.healthRoute'],
    ['AIP_PREDICT_ROUTE', 'vertex.predictRoute'],
  ] as const) {
    const path = settings.text(variable)
    if (path !== undefined) settings.set(key, path, variable)
  }
  const { origins, warnings } = settings
  const uri = settings.text('AIP_STORAGE_URI')
  if (uri === undefined || !/^[a-z][a-z0-9+.-]*:\/\//i.test(uri) || uri.startsWith('file://'))
    return { origins, warnings, models: uri === undefined ? [] : [{ path: uri.replace(/^file:\/\//, '') }], missing: undefined }
  const missing = `AIP_STORAGE_URI is ${uri}: nothing is downloaded from there here. Put the model into the image and name its folder, by MODEL_PATH or as an argument of slipway serve, and leave the artifact URI of the Vertex model empty`
  return { origins, warnings, models: [], missing }
}

function azure(environment: Environment): PlatformSettings | undefined {
  const path = environment['AZUREML_MODEL_DIR'] ?? ''
  if (path === '') return undefined
  const { origins, warnings } = new Settings('Azure Machine Learning', environment, { port: AZURE_PORT, dialects: 'azureml' })
  return { origins, warnings, models: [{ path }], missing: undefined }
}

const THIS_MACHINE: Surroundings = { exists: existsSync, memoryBytes: memoryOfThis }

/** The limit of the cgroup, of version 2 or 1, where there is one below the memory of the machine. */
function memoryOfThis(): number {
  const limits = ['/sys/fs/cgroup/memory.max', '/sys/fs/cgroup/memory/memory.limit_in_bytes'].map((path) => {
    try {
      return Number(readFileSync(path, 'utf8').trim())
    } catch {
      return Number.NaN
    }
  })
  return Math.min(totalmem(), ...limits.filter((limit) => limit > 0))
}

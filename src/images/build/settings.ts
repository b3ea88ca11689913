import { NONROOT } from './debian.ts'
import { NODE_PATH } from './node.ts'
import type { ImageConfig } from '../oci.ts'
import type { Base } from './base.ts'

/** Where Slipway lies in an image. */
export const SLIPWAY_FOLDER = 'opt/slipway'
/** Where the models lie in an image. */
export const MODELS_FOLDER = 'models'
const SECOND = 1_000_000_000

export interface SettingsOptions {
  readonly base: Pick<Base, 'environment'>
  /** From the root of the image. */
  readonly modelPath: string
  readonly labels: Readonly<Record<string, string>>
  /** Variables beside those that every image has. */
  readonly environment: readonly string[]
}

/**
 * How an image runs: `slipway serve` of its model, as nobody in particular, on a root that may be read-only. It listens for the network of
 * the container, and so asks for keys, or for the word of whoever runs it that the network is trusted (SLIPWAY_INSECURE).
 */
export function imageSettings({ base, modelPath, labels, environment }: SettingsOptions): NonNullable<ImageConfig['config']> {
  const own = [
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'NODE_ENV=production',
    'HOME=/tmp',
    'XDG_CACHE_HOME=/tmp/cache',
    'SLIPWAY_HOST=0.0.0.0',
    `MODEL_PATH=/${modelPath}`,
    ...environment,
  ]
  const nameOf = (pair: string): string => pair.slice(0, pair.indexOf('='))
  const names = new Set(own.map(nameOf))
  // A base knows best where its programs are.
  const path = base.environment.find((pair) => nameOf(pair) === 'PATH')
  return {
    User: `${NONROOT}:${NONROOT}`,
    ExposedPorts: { '8470/tcp': {}, '8471/tcp': {} },
    Env: [
      ...base.environment.filter((pair) => !names.has(nameOf(pair))),
      ...own.map((pair) => (nameOf(pair) === 'PATH' ? (path ?? pair) : pair)),
    ],
    Entrypoint: [`/${NODE_PATH}`, `/${SLIPWAY_FOLDER}/bin/slipway`],
    Cmd: ['serve'],
    WorkingDir: '/tmp',
    Labels: labels,
    StopSignal: 'SIGTERM',
    Healthcheck: {
      Test: ['CMD', `/${NODE_PATH}`, `/${SLIPWAY_FOLDER}/bin/healthcheck.mjs`],
      Interval: 10 * SECOND,
      Timeout: 5 * SECOND,
      StartPeriod: 30 * SECOND,
      Retries: 3,
    },
  }
}

import { existsSync, readFileSync } from 'node:fs'
import { closest, check } from '../contract/schema.ts'
import { formatFileIssues, readYaml } from '../contract/read-yaml.ts'
import { SlipwayError } from '../core/errors.ts'
import { ADMIN_TOKEN_VARIABLE } from '../security/admin-token.ts'
import { API_KEYS_VARIABLE } from '../security/api-keys.ts'
import { JOIN_TOKEN_VARIABLE } from './control-plane-options.ts'
import { readOtelEnvironment } from './otel-environment.ts'
import { ServerOptions } from './options.ts'
import { readPlatform } from './platform-environment.ts'
import type { TSchema } from 'typebox'
import type { Origin } from './origin.ts'
import type { PlatformSettings, Surroundings } from './platform-environment.ts'

export const SERVER_FILE = 'slipway.server.yaml'

export interface ReadConfig {
  readonly options: ServerOptions
  readonly origins: readonly Origin[]
  readonly warnings: readonly string[]
  /** What the platform that starts this process has it serve, where nobody else says it. */
  readonly platform: Pick<PlatformSettings, 'models' | 'missing'>
}

export interface ConfigSources {
  /** By dotted key, e.g. `serving.instances`; strings are converted as the schema asks. */
  readonly flags: Readonly<Record<string, unknown>>
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Server file; undefined: that of the variable SLIPWAY_CONFIG, else slipway.server.yaml in the current folder, if there is one. */
  readonly file: string | undefined
  /** Whether the command line names models. Default: it does not. */
  readonly modelsNamed?: boolean
  /** Default: this machine. */
  readonly surroundings?: Surroundings
}

/** The variable that names the server file, as in a container whose command line is that of its image. */
const FILE_VARIABLE = 'SLIPWAY_CONFIG'
/** Variables that published container guides set. */
const GUIDE_VARIABLES: Readonly<Record<string, string>> = { PORT: 'port', HOST: 'host' }
/** Variables of Slipway that are no settings. */
const OTHER_VARIABLES = new Set([
  API_KEYS_VARIABLE,
  ADMIN_TOKEN_VARIABLE,
  JOIN_TOKEN_VARIABLE,
  'SLIPWAY_FAIL_POINTS',
  'SLIPWAY_CACHE',
  'SLIPWAY_HOME',
  FILE_VARIABLE,
  // Variables of the commands for a control plane, which may be used in the same shell.
  'SLIPWAY_URL',
  'SLIPWAY_CONTEXT',
  'SLIPWAY_ENVIRONMENT',
])

/** Every scalar setting: its dotted key and schema. */
export function settings(): ReadonlyMap<string, TSchema & { type?: string; enum?: readonly string[]; description?: string }> {
  const found = new Map<string, TSchema & { type?: string }>()
  const visit = (schema: TSchema & { properties?: Record<string, TSchema> }, prefix: string): void => {
    for (const [name, property] of Object.entries(schema.properties ?? {})) {
      const key = prefix === '' ? name : `${prefix}.${name}`
      const nested = property as TSchema & { type?: string; properties?: Record<string, TSchema> }
      if (nested.type === 'object') visit(nested, key)
      else if (nested.type !== 'array') found.set(key, nested)
    }
  }
  visit(ServerOptions, '')
  return found
}

/** `serving.maxBatchSize` as SLIPWAY_SERVING_MAX_BATCH_SIZE. */
export function variableOf(key: string): string {
  return `SLIPWAY_${key
    .replaceAll('.', '_')
    .replaceAll(/([a-z])([A-Z])/g, '$1_$2')
    .toUpperCase()}`
}

/**
 * Puts the configuration together: flag over environment over server file over the variables of OpenTelemetry and of
 * the platform that starts the container. Serving options of a package come below, when it is loaded; built-in defaults last.
 * @throws SLW_CONFIG_INVALID naming the flag, variable, or line
 */
export function readConfig(sources: ConfigSources): ReadConfig {
  const standard = readOtelEnvironment(sources.environment)
  const fromFile = readFile(sources)
  const nothingNamed =
    sources.modelsNamed !== true && (sources.environment['MODEL_PATH'] ?? '') === '' && (fromFile?.options.models ?? []).length === 0
  const platform = readPlatform(sources.environment, nothingNamed, sources.surroundings)
  const origins = new Map<string, Origin>([...platform.origins, ...standard.origins].map((origin) => [origin.key, origin]))
  if (fromFile !== undefined)
    for (const [key, value] of flatten(fromFile.options)) origins.set(key, { key, value, origin: `file ${fromFile.path}` })
  const warnings = [...platform.warnings, ...standard.warnings, ...readEnvironment(sources.environment, origins)]
  const known = settings()
  for (const [key, value] of Object.entries(sources.flags)) {
    if (value === undefined) continue
    const origin = `flag --${flagOf(key)}`
    origins.set(key, { key, value: convert(value, known.get(key), origin), origin })
  }
  const options = nest(origins)
  const checked = check(ServerOptions, options)
  if ('issues' in checked) {
    const lines = checked.issues.map((issue) => `${origins.get(issue.path)?.origin ?? issue.path}: ${issue.message}`)
    throw new SlipwayError('SLW_CONFIG_INVALID', lines.join('\n'), { issues: checked.issues })
  }
  return { options: withStrongerServing(checked.value, origins), origins: [...origins.values()], warnings, platform }
}

/** Options of one model in the server file go over those of all models, and under flags and environment. */
function withStrongerServing(options: ServerOptions, origins: ReadonlyMap<string, Origin>): ServerOptions {
  const stronger: Record<string, unknown> = {}
  for (const { key, value, origin } of origins.values())
    if (key.startsWith('serving.') && !/^(?:file|platform) /.test(origin)) stronger[key.slice('serving.'.length)] = value
  if (options.models === undefined) return options
  return {
    ...options,
    models: options.models.map((entry) => (entry.serving === undefined ? entry : { ...entry, serving: { ...entry.serving, ...stronger } })),
  }
}

/** Flags with another name than their setting. */
const OWN_FLAGS: Readonly<Record<string, string>> = {
  'controlPlane.url': 'control-plane',
  'controlPlane.ca': 'control-plane-ca',
  'controlPlane.apiKey': 'control-plane-key',
}

/** `serving.maxBatchSize` as max-batch-size: flags of nested settings carry the last name. */
export function flagOf(key: string): string {
  const own = OWN_FLAGS[key]
  if (own !== undefined) return own
  const last = key.split('.').at(-1) ?? key
  const [section] = key.split('.')
  const prefix =
    section === 'shutdown'
      ? last === 'pauseMs'
        ? 'drainPause'
        : 'grace'
      : section === 'log' || section === 'tls' || section === 'tracing' || section === 'vertex'
        ? `${section}-${last}`
        : last
  return prefix.replaceAll(/([a-z])([A-Z])/g, '$1-$2').toLowerCase()
}

function readFile({ file, environment }: ConfigSources): { path: string; options: ServerOptions } | undefined {
  const named = environment[FILE_VARIABLE]
  const given = file ?? (named === '' ? undefined : named)
  const path = given ?? SERVER_FILE
  if (!existsSync(path)) {
    if (given === undefined) return undefined
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      `${file === undefined ? `environment ${FILE_VARIABLE}` : '--config'} ${path}: no such file`,
    )
  }
  const read = readYaml(readFileSync(path, 'utf8'), ServerOptions)
  if ('issues' in read) throw new SlipwayError('SLW_CONFIG_INVALID', formatFileIssues(path, read.issues), { issues: read.issues })
  return { path, options: read.value }
}

function readEnvironment(environment: ConfigSources['environment'], origins: Map<string, Origin>): string[] {
  const known = settings()
  const byVariable = new Map([...known.keys()].map((key) => [variableOf(key), key]))
  const warnings: string[] = []
  const take = (variable: string, key: string): void => {
    const text = environment[variable]
    if (text === undefined || text === '') return
    const origin = `environment ${variable}`
    origins.set(key, { key, value: convert(text, known.get(key), origin), origin })
  }
  for (const [variable, key] of Object.entries(GUIDE_VARIABLES)) take(variable, key)
  for (const [variable, key] of byVariable) take(variable, key)
  for (const variable of Object.keys(environment)) {
    if (!variable.startsWith('SLIPWAY_') || byVariable.has(variable) || OTHER_VARIABLES.has(variable)) continue
    const near = closest(variable, [...byVariable.keys(), ...OTHER_VARIABLES])
    warnings.push(`unknown environment variable ${variable}${near === undefined ? '' : `; did you mean ${near}?`}`)
  }
  return warnings
}

/** Text from a flag or variable as the type that the schema asks for. */
function convert(value: unknown, schema: { type?: string } | undefined, origin: string): unknown {
  if (typeof value !== 'string' || schema === undefined) return value
  if (schema.type === 'integer' || schema.type === 'number') {
    const number = Number(value)
    if (value.trim() === '' || Number.isNaN(number)) throw new SlipwayError('SLW_CONFIG_INVALID', `${origin}: "${value}" is not a number`)
    return number
  }
  if (schema.type === 'boolean') {
    if (/^(1|true|yes|on)$/i.test(value)) return true
    if (/^(0|false|no|off)$/i.test(value)) return false
    throw new SlipwayError('SLW_CONFIG_INVALID', `${origin}: "${value}" is not true or false`)
  }
  return value
}

function* flatten(value: object, prefix = ''): Generator<[string, unknown]> {
  for (const [name, member] of Object.entries(value)) {
    const key = prefix === '' ? name : `${prefix}.${name}`
    if (member !== null && typeof member === 'object' && !Array.isArray(member)) yield* flatten(member as object, key)
    else yield [key, member]
  }
}

function nest(origins: ReadonlyMap<string, Origin>): Record<string, unknown> {
  const root: Record<string, unknown> = {}
  for (const { key, value } of origins.values()) {
    const parts = key.split('.')
    const last = parts.pop() ?? key
    let at = root
    for (const part of parts) at = (at[part] ??= {}) as Record<string, unknown>
    at[last] = value
  }
  return root
}

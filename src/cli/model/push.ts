import { createReadStream } from 'node:fs'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import { note, print, style } from '../output.ts'
import { clientOf, pairs, part, sameContext, show } from '../control-plane/registry-command.ts'
import { contentIdOf, localVersion } from './package-files.ts'
import { versionText, versionView } from './views.ts'
import { waitUntilServed } from './wait.ts'
import type { ModelAnswer, SignatureAnswer, VersionAnswer } from '../../contract/registry-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'
import type { PackageFile } from './package-files.ts'

export interface PushOptions extends RegistryOptions {
  readonly name?: string
  readonly description?: string
  readonly tag?: string[]
  readonly metric?: string[]
  readonly run?: string
  readonly dataset?: string
  readonly commit?: string
  readonly parent?: string
  readonly alias?: string
  readonly serve?: boolean
  readonly allowBreaking?: boolean
  readonly followLinks?: boolean
  readonly wait: string
}

const SERVED_ALIAS = 'champion'

/** What a new version has besides its files; options say otherwise. */
export interface KeptFacts extends Partial<Pick<VersionAnswer, 'tags' | 'metrics'>> {
  readonly description?: string | undefined
  readonly provenance?: Readonly<Record<string, string | undefined>>
}

/** Sends a model and registers it: only missing contents are sent, and the same files are the same version. */
export async function push(path: string, options: PushOptions): Promise<void> {
  await pushFiles(path, options, {})
}

/** Pushes with what a new version is to keep, where the options do not say otherwise. */
export async function pushFiles(path: string, options: PushOptions, kept: KeptFacts): Promise<void> {
  const client = await clientOf(options)
  const local = await localVersion(path, options.followLinks)
  const name = options.name ?? local.name
  const files = await Promise.all(local.files.map(async (file) => ({ ...file, contentId: await contentIdOf(file) })))
  const missing = await missingOf(client, files)
  const body = bodyOf(options, files, kept)
  if (options.dryRun === true) {
    for (const { path: inside, size, contentId } of files)
      print(`${missing.has(contentId) ? 'send' : 'has '}  ${inside}  ${formatBytes(size)}`)
    print(
      `register ${files.length} files as a version of ${name}${local.signature === undefined ? '' : ', with the signature in model.sig'}`,
    )
    return
  }
  await ensureModel(client, name)
  const left = files.filter(({ contentId }) => missing.has(contentId))
  const sum = left.reduce((bytes, { size }) => bytes + size, 0)
  if (left.length > 0) note(`sending ${left.length} of ${files.length} files, ${formatBytes(sum)}`)
  for (const file of left) {
    await client.send(`/contents/${file.contentId}`, file.size, () => createReadStream(file.file))
    if (left.length > 1 || file.size > 10_000_000) note(`  sent ${file.path} (${formatBytes(file.size)})`)
  }
  const response = await client.open(`/models/${part(name)}/versions`, { method: 'POST', body })
  const version = (await response.json()) as VersionAnswer
  if (response.status === 200) note(`these files are ${name}/${version.version} already`)
  if (local.signature !== undefined) {
    const bundle = local.signature
    const { signer } = await client.ask<SignatureAnswer>(`/models/${part(name)}/versions/${version.version}/signatures`, {
      method: 'POST',
      body: { bundle },
    })
    note(`signed by ${signer}`)
  }
  const alias = options.serve === true ? SERVED_ALIAS : options.alias
  if (alias !== undefined) {
    const wanted = { version: version.version, ...(options.allowBreaking === true && { allowBreaking: true }) }
    await client.ask(`/models/${part(name)}/aliases/${part(alias)}`, { method: 'PUT', body: wanted })
  }
  const now = await client.ask<VersionAnswer>(`/models/${part(name)}/versions/${version.version}`)
  show(now, versionView, options, versionText(now))
  if (options.serve === true) await waitUntilServed(client, { model: name, version: version.version }, options.wait)
  else if (options.output === 'table' && now.aliases.length === 0) note(`\n${nextStep(now, options)}`)
}

/** An alias that moves to what no server takes serves nobody: what keeps it from being served comes first. */
function nextStep({ model, version, servable, servableReason, scan }: VersionAnswer, options: PushOptions): string {
  if (servable === 'yes') return `Next: ${style('bold', sameContext(`slipway alias set ${model}@champion ${version}`, options))}`
  const kept = `It is kept, and no server takes it as it is: ${servableReason}.`
  // The policy of the model decides about what runs code when it is loaded; there is nothing to push again.
  if (scan.some(({ check, passed }) => check === 'sandbox' && passed))
    return `${kept}\nNext: ${style('bold', sameContext(`slipway model update ${model} --sandbox yes`, options))}`
  return `${kept} Push it again once that is mended.`
}

function bodyOf(options: PushOptions, files: readonly (PackageFile & { contentId: string })[], kept: KeptFacts): object {
  const { run: runId, dataset: datasetVersion, commit: codeCommit, parent: parentVersion } = options
  const measured = Object.entries(pairs(options.metric, '--metric') ?? {}).map(([key, text]) => [key, numberOf(key, text)] as const)
  const description = options.description ?? kept.description
  return {
    files: files.map(({ path, contentId }) => ({ path, contentId })),
    ...(description !== undefined && { description }),
    ...filled('tags', { ...kept.tags, ...pairs(options.tag, '--tag') }),
    ...filled('metrics', { ...kept.metrics, ...Object.fromEntries(measured) }),
    ...filled('provenance', { ...kept.provenance, ...defined({ runId, datasetVersion, codeCommit, parentVersion }) }),
  }
}

function filled(name: string, facts: object): object {
  const known = defined(facts)
  return Object.keys(known).length === 0 ? {} : { [name]: known }
}

function defined(facts: object): object {
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined))
}

function numberOf(key: string, text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && Number.isFinite(value)) return value
  throw new SlipwayError('SLW_USAGE', `--metric ${key}=${text}: expected a number`)
}

/** Ids of the contents that a control plane does not have. */
export async function missingOf(client: RegistryClient, files: readonly { readonly contentId: string }[]): Promise<Set<string>> {
  const ids = [...new Set(files.map(({ contentId }) => contentId))]
  const { missing } = await client.ask<{ missing: string[] }>('/contents/missing', { method: 'POST', body: { ids } })
  return new Set(missing)
}

/** Creates a model that does not exist, as MLflow's clients do with its first version. */
export async function ensureModel(client: RegistryClient, name: string): Promise<void> {
  try {
    await client.ask<ModelAnswer>(`/models/${part(name)}`)
  } catch (error) {
    if (!isSlipwayError(error) || error.code !== 'SLW_NOT_FOUND') throw error
    await client.ask<ModelAnswer>('/models', { method: 'POST', body: { name } }).catch((made: unknown) => {
      // Another client created the model first.
      if (!isSlipwayError(made) || made.code !== 'SLW_ALREADY_EXISTS') throw made
    })
  }
}

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { MODEL_REFERENCE, modelReference } from '../../contract/endpoint.ts'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { loadModel } from '../../library/load-model.ts'
import { describeSignature } from '../../signature/describe-signature.ts'
import { clientOf, part } from '../control-plane/registry-command.ts'
import { downloadVersion } from '../model/download.ts'
import type { ModelAnswer, VersionAnswer } from '../../contract/registry-api.ts'
import type { SignatureDocument } from '../../contract/signature-document.ts'
import type { Model } from '../../library/load-model.ts'
import type { RegistryClient } from '../control-plane/client.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

/** A version of a registry. */
interface Registered {
  readonly client: RegistryClient
  readonly model: ModelAnswer
  readonly version: VersionAnswer
}

/** What gates look at, or compare with: its files lie on this machine. */
export interface Subject {
  /** `churn/3`, or a path. */
  readonly name: string
  readonly path: string
  /** Undefined for files that are not in a registry. */
  readonly registered: Registered | undefined
}

/** Names the alias that versions are compared with. */
const CHAMPION = 'champion'

/**
 * The version that MODEL@ALIAS or MODEL/NUMBER names, with its files fetched; anything else is a path.
 * @param scratch folder for the files
 * @throws SLW_NOT_FOUND, SLW_PATH_NOT_FOUND; SLW_CONFLICT for files that are not with the registry
 */
export async function findSubject(text: string, options: RegistryOptions, scratch: string): Promise<Subject> {
  if (!MODEL_REFERENCE.test(text)) {
    if ((await stat(text).catch(() => undefined)) === undefined)
      throw new SlipwayError(
        'SLW_PATH_NOT_FOUND',
        `"${text}" is no path, and names no version; expected MODEL@ALIAS, MODEL/NUMBER or a path`,
      )
    return { name: text, path: text, registered: undefined }
  }
  const client = await clientOf(options)
  const meant = modelReference(text)
  const model = await client.ask<ModelAnswer>(`/models/${part(meant.model)}`)
  const number = 'version' in meant ? meant.version : model.aliases[meant.alias]
  if (number === undefined)
    throw new SlipwayError(
      'SLW_NOT_FOUND',
      `model "${model.name}" has no alias "${'alias' in meant ? meant.alias : ''}"; it has ${Object.keys(model.aliases).join(', ') || 'none'}`,
    )
  return await fetched({ client, model, number }, scratch)
}

async function fetched(
  { client, model, number }: { client: RegistryClient; model: ModelAnswer; number: number },
  scratch: string,
): Promise<Subject> {
  const address = `/models/${part(model.name)}/versions/${number}`
  const version = await client.ask<VersionAnswer>(address)
  const name = `${model.name}/${number}`
  if (version.digest === undefined)
    throw new SlipwayError(
      'SLW_CONFLICT',
      `the files of ${name} lie at ${version.location ?? 'no known place'}; bring them in first: slipway model fetch ${name}`,
    )
  const path = join(scratch, `v${number}`, model.name)
  await downloadVersion(client, address, path)
  return { name, path, registered: { client, model, version } }
}

/**
 * What the subject is compared with: as it is said, else the version that the alias `champion` of its model points to.
 * @param against a reference or path; `none` for nothing. Default: the alias
 * @returns undefined where there is none
 */
export async function findChampion(
  subject: Subject,
  { against, options, scratch }: { readonly against: string | undefined; readonly options: RegistryOptions; readonly scratch: string },
): Promise<Subject | undefined> {
  if (against === 'none') return undefined
  if (against !== undefined) return await findSubject(against, options, scratch)
  const { registered } = subject
  const number = registered?.model.aliases[CHAMPION]
  if (registered === undefined || number === undefined) return undefined
  return await fetched({ ...registered, number }, join(scratch, CHAMPION))
}

/** A model that is loaded, or the reason why it cannot be. */
export type Loaded =
  | { readonly model: Model; readonly failure?: undefined }
  | { readonly model?: undefined; readonly failure: SlipwayError }

/** Loads one instance, as a server would, which runs its golden examples too. */
export async function loadSubject({ path }: Pick<Subject, 'path'>, sandboxPython: string | undefined): Promise<Loaded> {
  try {
    return { model: await loadModel(path, { instances: 1, sandboxPython }) }
  } catch (error) {
    if (!isSlipwayError(error)) throw error
    return { failure: error }
  }
}

/** What a version takes and gives: as its registry knows it, else as it was loaded. */
export function signatureOf({ registered }: Subject, loaded: Loaded): SignatureDocument | undefined {
  return registered?.version.signature ?? (loaded.model === undefined ? undefined : describeSignature(loaded.model.signature))
}

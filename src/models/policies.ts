import { compareSignatures } from '../contract/compatibility.ts'
import { SlipwayError } from '../core/errors.ts'
import { requireAlias } from './names.ts'
import { approvalWait, unmetGates } from './unmet-gates.ts'
import { KEY_LENGTH_MAX, requireLength } from '../ledger/keys.ts'
import type { Kysely, Selectable } from 'kysely'
import type { ScanCheck } from '../contract/inspection.ts'
import type { ModelPolicy } from '../contract/model-policy.ts'
import type { SignatureDocument } from '../contract/signature-document.ts'
import type { Schema } from '../storage/sql/schema.ts'
import type { ModelsRow, VersionsRow } from './tables.ts'

/** A version with this tag may break what an alias promised: for clients that cannot allow it otherwise. */
export const ALLOW_BREAKING_TAG = 'slipway.allow_breaking'

export function policyOf(model: Pick<Selectable<ModelsRow>, 'policy'>): ModelPolicy {
  return JSON.parse(model.policy) as ModelPolicy
}

/** Whether versions of the model wait for an approval from the start. */
export function asksForApproval(model: Pick<Selectable<ModelsRow>, 'policy'>): boolean {
  const { gatedAliases = [], approval = false } = policyOf(model)
  return approval && gatedAliases.length > 0
}

/** @throws SLW_INPUT_INVALID for an invalid alias, and SLW_NOT_FOUND for an unknown signer */
export async function requirePolicy(read: Kysely<Schema>, environment: string, policy: ModelPolicy): Promise<void> {
  for (const alias of policy.gatedAliases ?? []) requireAlias(alias)
  for (const name of policy.signedBy ?? []) {
    requireLength('the name of a signer', name, KEY_LENGTH_MAX)
    const found = await read
      .selectFrom('signers')
      .select('id')
      .where('environment', '=', environment)
      .where('name', '=', name)
      .executeTakeFirst()
    if (found === undefined)
      throw new SlipwayError(
        'SLW_NOT_FOUND',
        `no signer of "${environment}" is called "${name}"; add one with slipway signer add ${name} FILE`,
      )
  }
}

/** Columns of a version that decide whether it may be served. */
type Judged = Pick<Selectable<VersionsRow>, 'id' | 'number' | 'approval' | 'servable' | 'servable_reason' | 'scan'>

/** Reason why no server would take a version, whatever the alias; undefined if one would. */
export function whyNotServable(
  model: Pick<Selectable<ModelsRow>, 'policy'>,
  { servable, servable_reason: reason, scan }: Pick<Judged, 'servable' | 'servable_reason' | 'scan'>,
): string | undefined {
  if (servable === 1 || (policyOf(model).sandbox === true && fitsSandbox(scan))) return undefined
  return reason ?? 'no reason was noted'
}

function fitsSandbox(scan: string | null): boolean {
  return scan !== null && (JSON.parse(scan) as ScanCheck[]).some(({ check, passed }) => check === 'sandbox' && passed)
}

/** Unmet requirements of the policy of a model for a version that is to get the alias, each with the command that would help. */
export async function policyFailures(
  read: Kysely<Schema>,
  model: Selectable<ModelsRow>,
  version: Pick<Judged, 'id' | 'number' | 'approval'>,
  alias: string,
): Promise<string[]> {
  return (policyOf(model).gatedAliases ?? []).includes(alias) ? await servingFailures(read, model, version) : []
}

/** Unmet requirements of the policy of a model for a version that is to be served, by any name; none if the policy gates no alias. */
export async function servingFailures(
  read: Kysely<Schema>,
  model: Selectable<ModelsRow>,
  version: Pick<Judged, 'id' | 'number' | 'approval'>,
): Promise<string[]> {
  const { gatedAliases = [], approval = false, signedBy = [], gates } = policyOf(model)
  if (gatedAliases.length === 0) return []
  const name = `${model.name}/${version.number}`
  const failures: string[] = []
  if (approval && version.approval !== 'approved') failures.push(approvalWait(name, version.approval))
  if (gates !== undefined && gates !== false)
    failures.push(...(await unmetGates(read, { model: model.name, version, gates })).map(({ waitsFor }) => waitsFor))
  if (signedBy.length > 0) {
    const signed = await read
      .selectFrom('version_signatures')
      .innerJoin('signers', 'signers.id', 'version_signatures.signer_id')
      .select('signers.name')
      .where('version_id', '=', version.id)
      .where('environment', '=', model.environment)
      .where('signers.name', 'in', signedBy)
      .executeTakeFirst()
    if (signed === undefined)
      failures.push(
        `${name} is signed by none of ${signedBy.join(', ')}: slipway model sign PATH --key KEY, then slipway model attach ${name} model.sig`,
      )
  }
  return [...new Set(failures)]
}

export interface AliasMove {
  readonly model: Selectable<ModelsRow>
  readonly alias: string
  /** Version that the alias points to now; undefined for a new alias. */
  readonly from: Selectable<VersionsRow> | undefined
  readonly to: Selectable<VersionsRow>
  readonly allowBreaking: boolean
}

/** @throws SLW_POLICY_REFUSED, SLW_CONTRACT_BREAKING, each with everything that stands in the way */
export async function requireMove(read: Kysely<Schema>, { model, alias, from, to, allowBreaking }: AliasMove): Promise<void> {
  const failures = await policyFailures(read, model, to, alias)
  if (failures.length > 0)
    throw new SlipwayError('SLW_POLICY_REFUSED', `alias "${alias}" of model "${model.name}" is gated: ${failures.join('; ')}`, {
      issues: failures.map((message) => ({ path: `aliases.${alias}`, message })),
    })
  if (allowBreaking || from === undefined || from.id === to.id) return
  const { compatibility, changes } = compareSignatures(signatureOf(from), signatureOf(to))
  if (compatibility !== 'breaking' || (await mayBreak(read, to.id))) return
  const breaks = changes.filter(({ effect }) => effect === 'breaking')
  const target = `${model.name}@${alias} ${to.number}`
  throw new SlipwayError(
    'SLW_CONTRACT_BREAKING',
    `version ${to.number} would break clients of version ${from.number}, which "${alias}" points to: ${breaks.map(({ message }) => message).join('; ')}. ` +
      `To do it all the same: slipway alias set ${target} --allow-breaking, or set the tag ${ALLOW_BREAKING_TAG} of the version to true`,
    { issues: breaks.map(({ path, message }) => ({ path, message })) },
  )
}

/** Whether a version has the tag that allows it to break clients. */
export async function mayBreak(read: Kysely<Schema>, versionId: string): Promise<boolean> {
  const tag = await read
    .selectFrom('version_tags')
    .select('value')
    .where('version_id', '=', versionId)
    .where('key', '=', ALLOW_BREAKING_TAG)
    .executeTakeFirst()
  return tag?.value === 'true'
}

export function signatureOf({ signature }: Pick<Selectable<VersionsRow>, 'signature'>): SignatureDocument | undefined {
  return signature === null ? undefined : (JSON.parse(signature) as SignatureDocument)
}

import { readFile } from 'node:fs/promises'
import { fieldOf } from './reference.ts'
import type { SecretReference } from './reference.ts'

const TIMEOUT_MS = 10_000

/**
 * Reads a field of a secret of Vault's KV engine, version 2 (`GET /v1/MOUNT/data/PATH`), with the variables of Vault's own clients:
 * VAULT_ADDR, VAULT_NAMESPACE, and VAULT_TOKEN or the file VAULT_TOKEN_FILE, which is read anew each time.
 * @throws errors without a value
 */
export async function readVaultSecret(
  { mount, path, field }: Extract<SecretReference, { kind: 'vault' }>,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const { VAULT_ADDR: address, VAULT_NAMESPACE: namespace, VAULT_TOKEN: token, VAULT_TOKEN_FILE: tokenFile } = environment
  if (address === undefined) throw new Error('VAULT_ADDR is not set')
  const shown = tokenFile === undefined ? token : (await readFile(tokenFile, 'utf8')).trim()
  if (shown === undefined || shown === '') throw new Error('neither VAULT_TOKEN nor VAULT_TOKEN_FILE is set')
  const place = [mount, 'data', ...path.split('/')].map(encodeURIComponent).join('/')
  const response = await fetch(`${address.replace(/\/+$/, '')}/v1/${place}`, {
    headers: { 'x-vault-token': shown, 'x-vault-request': 'true', ...(namespace !== undefined && { 'x-vault-namespace': namespace }) },
    redirect: 'error',
    signal: AbortSignal.timeout(TIMEOUT_MS),
  })
  const body = (await response.json().catch(() => ({}))) as { data?: { data?: Record<string, unknown> | null }; errors?: unknown[] }
  if (!response.ok) throw new Error(`${address} answers ${response.status}${reasonOf(body.errors)}`)
  return fieldOf(body.data?.data, field)
}

function reasonOf(errors: unknown[] | undefined): string {
  return errors === undefined || errors.length === 0 ? '' : `: ${errors.join('; ').slice(0, 200)}`
}

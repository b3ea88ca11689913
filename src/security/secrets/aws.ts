import { fieldOf } from './reference.ts'
import type { SecretReference } from './reference.ts'

/**
 * Reads a secret of AWS Secrets Manager, with the credentials and the region that AWS's own tools would use. A field is read from a
 * secret that is a JSON object.
 * @throws errors without a value
 */
export async function readAwsSecret(
  { id, field }: Extract<SecretReference, { kind: 'aws-sm' }>,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const { SecretsManagerClient, GetSecretValueCommand } = await import('@aws-sdk/client-secrets-manager').catch(() => {
    throw new Error(
      'AWS Secrets Manager needs the package @aws-sdk/client-secrets-manager: run npm install @aws-sdk/client-secrets-manager',
    )
  })
  const { AWS_ENDPOINT_URL_SECRETS_MANAGER: own, AWS_ENDPOINT_URL: endpoint = own, AWS_REGION: region } = environment
  const client = new SecretsManagerClient({ ...(endpoint !== undefined && { endpoint }), ...(region !== undefined && { region }) })
  try {
    const { SecretString: text, SecretBinary: bytes } = await client.send(new GetSecretValueCommand({ SecretId: id }))
    const whole = text ?? Buffer.from(bytes ?? []).toString('utf8')
    return field === undefined ? whole : fieldOf(objectOf(whole), field)
  } finally {
    client.destroy()
  }
}

function objectOf(text: string): Record<string, unknown> {
  try {
    const value = JSON.parse(text) as Record<string, unknown> | null
    if (value !== null) return value
  } catch {
    // The error of the parser may quote the secret.
  }
  throw new Error('it is no JSON object, so it has no fields')
}

import { text } from 'node:stream/consumers'
import { SlipwayError } from '../../core/errors.ts'
import { askAws } from '../../security/aws-request.ts'

/** Private registries of Amazon ECR: account, region. */
const ECR_HOST = /^([0-9]{12})\.dkr\.ecr(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?$/
const TIMEOUT_MS = 20_000

/**
 * A password for Amazon ECR, which is good for twelve hours: GetAuthorizationToken, signed with the credentials of AWS that this machine has
 * (https://docs.aws.amazon.com/AmazonECR/latest/APIReference/API_GetAuthorizationToken.html).
 * @returns undefined for any other registry
 * @throws SLW_DEPENDENCY_MISSING, SLW_SECRET_UNAVAILABLE, SLW_UNAUTHENTICATED
 */
export async function ecrCredentials(
  host: string,
  environment?: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly username: string; readonly password: string } | undefined> {
  const [, account, region] = ECR_HOST.exec(host) ?? []
  if (account === undefined || region === undefined) return undefined
  const answer = await askAws({
    service: 'ecr',
    host: 'api.ecr',
    setting: 'ECR',
    region,
    headers: {
      'content-type': 'application/x-amz-json-1.1',
      'x-amz-target': 'AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken',
    },
    body: JSON.stringify({ registryIds: [account] }),
    timeoutMs: TIMEOUT_MS,
    environment,
  })
  const body = await text(answer)
  if (answer.statusCode !== 200)
    throw new SlipwayError(
      'SLW_UNAUTHENTICATED',
      `Amazon ECR gave no password for ${host} (HTTP ${answer.statusCode}); the role or key needs the right ecr:GetAuthorizationToken`,
    )
  const [, username, password] = /^([^:]+):([^]+)$/.exec(Buffer.from(tokenIn(body), 'base64').toString('utf8')) ?? []
  if (username === undefined || password === undefined)
    throw new SlipwayError('SLW_ANSWER_INVALID', `Amazon ECR answered for ${host} without an authorizationToken`)
  return { username, password }
}

function tokenIn(body: string): string {
  try {
    const { authorizationData } = JSON.parse(body) as { readonly authorizationData?: readonly { readonly authorizationToken?: unknown }[] }
    return String(authorizationData?.[0]?.authorizationToken ?? '')
  } catch {
    return ''
  }
}

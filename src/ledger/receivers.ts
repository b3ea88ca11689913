import { SlipwayError } from '../core/errors.ts'
import { requireOutsideUrl } from '../security/outside-address.ts'
import type { WebhookFormat } from '../contract/registry-api.ts'

export interface ReceiverLimits {
  /** Whether addresses of this machine and its network are allowed. */
  readonly allowInside: boolean
  /** Whether there is a server that takes mail. */
  readonly mail: boolean
}

type Scheme = 'http' | 'mailto' | 'sns'

/** What each kind of address takes; the first is the default. */
const FORMATS: Readonly<Record<Scheme, readonly WebhookFormat[]>> = {
  http: ['event', 'slack', 'sns'],
  mailto: ['email'],
  sns: ['sns'],
}

/** One address, without the fields that RFC 6068 has after it. */
const MAIL = /^mailto:[^\s@,;:<>()[\]"\\?%&]{1,64}@[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$/
/** https://docs.aws.amazon.com/sns/latest/dg/sns-create-topic.html */
const TOPIC = /^sns:arn:aws(-[a-z]+)*:sns:[a-z]{2,3}(-[a-z]+)+-[0-9]{1,2}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$/

export function schemeOf(url: string): Scheme {
  const [, scheme = ''] = /^(mailto|sns):/i.exec(url) ?? []
  return scheme === '' ? 'http' : (scheme.toLowerCase() as Scheme)
}

/**
 * Checks who is to be told, and how.
 * @returns the format: the given one, or the default of the address
 * @throws SLW_INPUT_INVALID, SLW_FORBIDDEN as `requireOutsideUrl`; SLW_CONFIG_INVALID for mail where no server takes it
 */
export function requireReceiver(
  { url, format, signed }: { readonly url: string; readonly format: WebhookFormat | undefined; readonly signed: boolean },
  { allowInside, mail }: ReceiverLimits,
): WebhookFormat {
  const scheme = schemeOf(url)
  const shown = JSON.stringify(url.slice(0, 200))
  if (scheme === 'http') requireOutsideUrl(url, allowInside)
  if (scheme === 'mailto' && !MAIL.test(url))
    throw new SlipwayError('SLW_INPUT_INVALID', `${shown} is no address of one mailbox; expected one such as mailto:team@example.org`)
  if (scheme === 'sns' && !TOPIC.test(url))
    throw new SlipwayError(
      'SLW_INPUT_INVALID',
      `${shown} is no topic; expected one such as sns:arn:aws:sns:eu-central-1:123456789012:releases`,
    )
  if (scheme === 'mailto' && !mail)
    throw new SlipwayError(
      'SLW_CONFIG_INVALID',
      'this control plane has no server that takes mail; start it with --smtp-url and --smtp-from',
    )
  if (scheme !== 'http' && signed)
    throw new SlipwayError('SLW_INPUT_INVALID', `what goes to ${scheme}: is not signed by a secret; leave it out (SNS signs by itself)`)
  const takes = FORMATS[scheme]
  if (format !== undefined && !takes.includes(format))
    throw new SlipwayError('SLW_INPUT_INVALID', `${shown} does not take the format ${format}; expected ${takes.join(', ')}`)
  return format ?? takes[0]!
}

/** The address for those who may read: whoever knows the path of one of Slack's may post there. */
export function shownUrl(url: string, format: string): string {
  return format === 'slack' ? `${new URL(url).origin}/...` : url
}

import { askAws } from '../security/aws-request.ts'
import type { Notice } from '../ledger/notices.ts'

const TIMEOUT_MS = 30_000
const ANSWER_BYTES_MAX = 64 * 1024

/**
 * Publishes to a topic of SNS, by its query protocol.
 * https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
 * @returns the status. @throws what SNS says
 */
export async function publish(
  { arn, subject, message, group, id }: Extract<Notice, { kind: 'topic' }>,
  signal: AbortSignal,
): Promise<number> {
  const parameters: Record<string, string> = { Action: 'Publish', Version: '2010-03-31', TopicArn: arn, Subject: subject, Message: message }
  // A topic that keeps an order does so in groups, and drops what it has had within five minutes.
  if (arn.endsWith('.fifo')) Object.assign(parameters, { MessageGroupId: group.replaceAll(/[^!-~]/g, '_'), MessageDeduplicationId: id })
  const response = await askAws({
    service: 'sns',
    setting: 'SNS',
    region: arn.split(':')[3] ?? '',
    headers: { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' },
    body: String(new URLSearchParams(parameters)),
    timeoutMs: TIMEOUT_MS,
    signal,
  })
  const status = response.statusCode ?? 0
  let text = ''
  for await (const piece of response as AsyncIterable<Buffer>) {
    text += piece.toString('utf8')
    if (text.length > ANSWER_BYTES_MAX) break
  }
  if (status === 200) return status
  const [, code = ''] = /<Code>([^<]*)<\/Code>/.exec(text) ?? []
  const [, said = ''] = /<Message>([^<]*)<\/Message>/.exec(text) ?? []
  throw Object.assign(new Error(`SNS answered ${status}${code === '' ? '' : `: ${code}: ${said}`}`), { responseCode: status })
}

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { askAws } from '../../src/security/aws-request.ts'
import { answering } from '../checks/asked.ts'

/** Signs what came once more, by Amazon's own library. */
const SIGN_AGAIN = `
import json, os, sys
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
came = json.load(sys.stdin)
credentials = Credentials(os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY'], os.environ.get('AWS_SESSION_TOKEN'))
auth = SigV4Auth(credentials, came['service'], came['region'])
request = AWSRequest(method='POST', url=came['url'], data=came['body'].encode(), headers=came['headers'])
request.context['timestamp'] = came['headers']['x-amz-date']
print(auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request))
`

it("requests to AWS are signed as Amazon's own library signs them", { timeout: 300_000 }, async () => {
  const python = await pythonEnv('s3')
  const keys = { AWS_ACCESS_KEY_ID: 'AKIDEXAMPLE', AWS_SECRET_ACCESS_KEY: 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY' }
  Object.assign(process.env, keys)
  const came: { url: string; headers: Record<string, string>; body: string }[] = []
  await using server = await answering((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (piece: string) => (body += piece))
    request.once('end', () => {
      came.push({ url: `${server.url}${request.url}`, headers: request.headers as Record<string, string>, body })
      response.end('{}')
    })
  })
  for (const [service, region, body] of [
    ['monitoring', 'eu-central-1', '{"a":"größe"}'],
    ['sns', 'us-gov-west-1', 'Action=Publish&Message=a%20b'],
  ] as const) {
    const environment = { AWS_ENDPOINT_URL: `${server.url}/a%20path/` }
    const headers = { 'content-type': 'application/x-amz-json-1.0', 'x-amz-target': 'X.Y' }
    const response = await askAws({ service, setting: 'X', region, headers, body, timeoutMs: 20_000, environment })
    response.resume()
    const { url, headers: sent, body: text } = came.at(-1)!
    const [, scope, names, signature] = /^AWS4-HMAC-SHA256 Credential=([^,]+), SignedHeaders=([^,]+), Signature=([0-9a-f]{64})$/.exec(
      sent['authorization']!,
    )!
    assert.equal(text, body)
    assert.match(scope!, new RegExp(`^AKIDEXAMPLE/\\d{8}/${region}/${service}/aws4_request$`))
    assert.ok(
      ['host', 'x-amz-date', 'x-amz-target'].every((name) => names!.split(';').includes(name)),
      names,
    )
    const signed = Object.fromEntries(Object.entries(sent).filter(([name]) => names!.split(';').includes(name)))
    const again = promisify(execFile)(python, ['-c', SIGN_AGAIN], { env: { ...process.env, ...keys } })
    again.child.stdin!.end(JSON.stringify({ service, region, url, headers: signed, body }))
    assert.equal((await again).stdout.trim(), signature)
  }
  const nowhere = { service: 'sns', setting: 'SNS', headers: {}, body: '', timeoutMs: 1000 }
  await assert.rejects(askAws({ ...nowhere, region: 'evil.example.org/' }), {
    code: 'SLW_INPUT_INVALID',
    message: /is no region of AWS; expected one such as/,
  })
})

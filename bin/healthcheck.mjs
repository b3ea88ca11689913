// Ends with 0 where the server of this machine is ready: the health check of an image, which has no curl.
const port = process.env.SLIPWAY_PORT || process.env.PORT || '8470'
const signal = AbortSignal.timeout(4000)

/** A server with a certificate is asked over TLS; whose certificate it is does not matter on the own machine. */
async function isReady(scheme) {
  const { request } = await import(`node:${scheme}`)
  return new Promise((resolve, reject) => {
    const asked = request(`${scheme}://127.0.0.1:${port}/ready`, { signal, rejectUnauthorized: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode === 200)
    })
    asked.on('error', reject)
    asked.end()
  })
}

const ready = await isReady('http').catch(() => isReady('https')).catch(() => false)
process.exit(ready ? 0 : 1)

/** A client in a process of its own: opens so many connections, asks once on each, then keeps them without a word until it is ended. */
import { connect } from 'node:net'

const [, , port, count] = process.argv
/** Connections that are being opened at once: the backlog of the server is bounded. */
const AT_ONCE = 200
let opened = 0
let answered = 0

function openOne(): void {
  if (opened >= Number(count)) return
  opened++
  const socket = connect(Number(port), '127.0.0.1', () => socket.write('GET /v2/health/live HTTP/1.1\r\nhost: localhost\r\n\r\n'))
  socket.once('data', () => {
    answered++
    if (answered === Number(count)) console.log('all are open')
    openOne()
  })
  socket.on('error', (error) => {
    console.error(`connection ${opened}: ${error.message}`)
    process.exit(1)
  })
}

for (let index = 0; index < AT_ONCE; index++) openOne()

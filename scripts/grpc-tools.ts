/**
 * Programs of Go that speak gRPC and HTTP/2, for the tests: grpcurl, a client that knows a service from reflection alone, and h2spec, which
 * tries a server on every section of HTTP/2. Made once (a minute) and kept outside the tree.
 *
 *     scripts/node scripts/grpc-tools.ts
 */
import { goProgram } from './go-program.ts'

/** @returns the path of the binary */
export async function grpcurl(): Promise<string> {
  return await goProgram({
    name: 'grpcurl',
    version: '1.9.3',
    program: 'github.com/fullstorydev/grpcurl/cmd/grpcurl',
    what: 'grpcurl',
  })
}

/** @returns the path of the binary */
export async function h2spec(): Promise<string> {
  return await goProgram({
    name: 'h2spec',
    version: '2.2.1+incompatible',
    program: 'github.com/summerwind/h2spec/cmd/h2spec',
    what: 'h2spec',
  })
}

if (import.meta.main) {
  try {
    console.log(await grpcurl())
    console.log(await h2spec())
  } catch (error) {
    console.error(`grpc-tools: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}

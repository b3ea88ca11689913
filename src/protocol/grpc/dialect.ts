/** gRPC among the dialects that people choose from. It is not over HTTP/1.1, and has a port of its own. */
export const GRPC = {
  name: 'grpc',
  of: 'the Open Inference Protocol over gRPC',
  description:
    'Open Inference Protocol over gRPC, with the extensions of Triton, health checks and reflection, on a port of its own (grpcPort)',
  /** What clients of Triton find otherwise here, a sentence each. */
  differences: [
    'Loading and unloading want the admin token.',
    'Shared memory is refused by name; what is traced is shown, and not changed.',
  ],
} as const

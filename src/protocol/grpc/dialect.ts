/** gRPC among the dialects that people choose from. It is not over HTTP/1.1, and has a port of its own. */
export const GRPC = {
  name: 'grpc',
  description:
    'Open Inference Protocol over gRPC, with the extensions of Triton, health checks and reflection, on a port of its own (grpcPort)',
} as const

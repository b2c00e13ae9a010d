/** @file Browsers speak no gRPC. */

import { VarscopeError } from "../../base/index.ts";
import type { Channel } from "./channel.ts";

/** @throws VarscopeError UNIMPLEMENTED - always */
export async function openChannel(address: string): Promise<Channel> {
  throw new VarscopeError(
    "UNIMPLEMENTED",
    "browsers cannot speak to a TensorFlow cluster: they have no gRPC",
    {
      at: address,
      hint: "run the graph here, without a target, or in Node",
    },
  );
}

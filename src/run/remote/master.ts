/** @file TensorFlow's MasterService: its methods over a channel, and targets. Start at `Master`. */

import {
  create,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import { openChannel } from "#remote";
import { VarscopeError } from "../../base/index.ts";
import { readMessage } from "../../formats/graph-def/index.ts";
import type { CallOptions, Channel } from "./channel.ts";

/** `host:port` of `grpc://host:port`. @throws VarscopeError INVALID_ARGUMENT - another scheme, or no port */
export function addressOf(target: string): string {
  const address = /^grpc:\/\/([^/\s]+:\d+)\/?$/.exec(target)?.[1];
  if (address !== undefined) return address;
  throw new VarscopeError("INVALID_ARGUMENT", `"${target}" is no address of a TensorFlow server`, {
    at: "target",
    hint: "give grpc://host:port, or no target to compute on this machine",
  });
}

/** A server, and its methods by their messages: CreateSessionRequest is what `CreateSession` takes. */
export class Master {
  readonly address: string;
  private channel: Promise<Channel> | null = null;

  constructor(target: string) {
    this.address = addressOf(target);
  }

  /** @throws VarscopeError - with TensorFlow's code and sentence; UNAVAILABLE - nobody answers; DATA_LOSS - no such message */
  async call<Q extends DescMessage, A extends DescMessage>(
    request: Q,
    answer: A,
    fields: MessageInitShape<Q>,
    options: CallOptions = {},
  ): Promise<MessageShape<A>> {
    this.channel ??= openChannel(this.address);
    const method = `/tensorflow.MasterService/${request.name.replace(/Request$/, "")}`;
    const bytes = toBinary(request, create(request, fields));
    return readMessage(answer, await (await this.channel).call(method, bytes, options), this.address);
  }

  /** Ends the connection, if there is one. */
  async close(): Promise<void> {
    const channel = await this.channel?.catch(() => null);
    channel?.close();
  }
}

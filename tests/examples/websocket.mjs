// Node has the browsers' WebSocket from version 22; an older one gets that of ws, whose interface is the same.
import { WebSocket } from "ws";

globalThis.WebSocket ??= WebSocket;

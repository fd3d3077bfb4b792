// The far end of the doorbell's round trip: rings back whenever it is rung.
import { parentPort, workerData } from 'node:worker_threads';
import { Doorbell, ringDoorbell } from '../../src/native/addon.ts';

const near = workerData as number;
const bell = new Doorbell(() => ringDoorbell(near));
bell.ref();
parentPort?.postMessage(bell.id);

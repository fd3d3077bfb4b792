/**
 * Runs a step again and again until it says that there is nothing to do; {@link kick} begins
 * anew. Steps never run beside each other, and no kick is lost.
 */
export class Stepper {
  private readonly step: () => Promise<boolean>;
  private readonly onFailure: (error: unknown) => void;
  private isRunning = false;
  private isKicked = false;

  constructor(step: () => Promise<boolean>, onFailure: (error: unknown) => void) {
    this.step = step;
    this.onFailure = onFailure;
  }

  /** There may be something to do. */
  kick(): void {
    this.isKicked = true;
    if (!this.isRunning) void this.run();
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    try {
      while (this.isKicked) {
        this.isKicked = false;
        while (await this.step());
      }
    } catch (error) {
      this.onFailure(error);
    } finally {
      this.isRunning = false;
    }
  }
}

namespace Sharpvisor.Devices.Vga;

/// <summary>Where a guest finds a frame buffer of 32 bits a pixel (X8R8G8B8).</summary>
public readonly record struct LinearFrameBuffer(uint Gpa, int Width, int Height, int PitchBytes, int MemoryBytes);

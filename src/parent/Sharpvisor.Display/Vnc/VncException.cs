namespace Sharpvisor.Display.Vnc;

/// <summary>A client broke the protocol or a bound: it is disconnected.</summary>
internal sealed class VncException(string message) : Exception(message);

namespace Sharpvisor.Network;

/// <summary>A network cannot be used; the message is one line for the user.</summary>
public sealed class NetworkException(string message) : Exception(message);

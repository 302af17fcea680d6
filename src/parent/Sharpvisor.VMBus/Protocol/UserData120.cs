// The device-specific bytes of offers and opens (include/linux/hyperv.h, MAX_USER_DEFINED_BYTES).
using System.Runtime.CompilerServices;

namespace Sharpvisor.VMBus.Protocol;

/// <summary>120 bytes.</summary>
[InlineArray(VmbusConstants.UserDataBytes)]
public struct UserData120
{
    private byte _first;
}

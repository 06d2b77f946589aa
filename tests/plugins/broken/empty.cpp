/// \file A library with nothing in it, which stands in for another of its name.

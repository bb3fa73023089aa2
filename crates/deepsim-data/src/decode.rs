//! JPEG and PNG as Pillow decodes them.

//! A folder of pictures, one folder for each class.
